"""Which RuntimeClasses sandbox, and what of its host a pod has found."""

import pytest

from fixtures.sandboxes import ITSELF, SHARED, sandboxes
from hotfire.cluster import Document
from hotfire.errors import HarnessError
from suites.security.test_sandboxed_pods_see_nothing_of_the_host import shared


def runtime_class(name: str, handler: str) -> Document:
    return {"metadata": {"name": name}, "handler": handler}


CLASSES = [
    runtime_class("plain", "runc"),
    runtime_class("untrusted", "runsc"),
    runtime_class("kata-qemu", "kata-qemu"),
    runtime_class("gVisor", "runc"),
]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ([], ["gVisor", "kata-qemu", "untrusted"]),
        (["plain"], ["plain"]),
    ],
)
def test_sandboxes_are_those_that_are_named_or_known_by_a_name(
    named: list[str], found: list[str]
) -> None:
    assert sandboxes(CLASSES, named) == found


@pytest.mark.parametrize("named", [["gone"], ["untrusted", "gone"]])
def test_sandbox_that_is_named_and_not_there_is_told(named: list[str]) -> None:
    with pytest.raises(HarnessError, match=r"not there: \['gone'\]"):
        sandboxes(CLASSES, named)


def test_cluster_without_any_sandbox_that_is_known_is_told() -> None:
    with pytest.raises(HarnessError, match="name them in sandboxes"):
        sandboxes(CLASSES[:1], [])


def test_what_is_found_is_told_and_that_a_pod_finds_itself_is_not() -> None:
    found = {**dict.fromkeys(SHARED, False), ITSELF: True}

    assert shared(found) == []
    assert shared(found | {"mounts": True}) == ["mounts"]
