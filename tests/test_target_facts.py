"""A report tells which cluster it is about; what may not be read there is left out, not fatal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.target import facts
from hotfire.profile import TargetProfile
from hotfire.rundir import NodeFacts
from tests.chaos.platform import profile_for
from tests.fake_api import FakeApi, connect, serving


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    labels = {"topology.kubernetes.io/zone": "rack-1"}
    api.put(node("n1", labels, {"nvidia.com/gpu": "2"}))
    api.put(node("cp1", {}, {"cpu": "2"}))
    return api


@pytest.fixture
def address(api: FakeApi) -> Iterator[str]:
    with serving(api) as address:
        yield address


@pytest.fixture
def profile(tmp_path: Path, address: str) -> TargetProfile:
    return profile_for(tmp_path, address)


def node(name: str, labels: dict[str, str], capacity: dict[str, str]) -> dict[str, object]:
    facts = {"kubeletVersion": "v1.36.3", "kernelVersion": "6.1"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": capacity, "nodeInfo": facts},
    }


def test_version_nodes_racks_and_accelerators_are_noted(
    address: str, profile: TargetProfile
) -> None:
    found = facts(connect(address), profile)

    assert found.version == "v1.36.3"
    assert found.nodes == (
        NodeFacts(name="cp1", kubelet_version="v1.36.3", kernel="6.1"),
        NodeFacts(
            name="n1",
            kubelet_version="v1.36.3",
            kernel="6.1",
            rack="rack-1",
            accelerators=2,
        ),
    )


def test_nodes_that_may_not_be_listed_are_left_out(
    api: FakeApi, address: str, profile: TargetProfile
) -> None:
    api.refuse["GET nodes"] = 403

    found = facts(connect(address), profile)

    assert (found.version, found.nodes) == ("v1.36.3", ())
