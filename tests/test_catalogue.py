"""Requirements are read from their files without importing them, as pytest would see them."""

from pathlib import Path

import pytest

from hotfire.cli.catalogue import CatalogueEntry, entries, refuse_unknown
from hotfire.errors import ProfileError
from hotfire.own_folders import project_root
from hotfire.requirement import Level

SUITE = '''"""A stream ends with the
sentinel.

Clients hang without it.
"""
import a_library_that_is_not_installed
from hotfire import Level, requirement

SOURCE = "https://x"
pytestmark = {mark}

def test_done(endpoint):
    """The last event is the sentinel.

    More.
    """

def helper(): pass
'''
MARK = 'requirement("API-003", Level.MUST, __doc__, source=SOURCE, features={"streaming"})'
FAULT = """\
title: Killing one engine keeps the endpoint up
description: Kubernetes replaces the pod.
steady-state-hypothesis: {probes: [{name: slo, provider: {func: slo_is_met}}]}
method: [{name: kill, provider: {func: kill_one_pod}}]
rollbacks: [{name: restore, provider: {func: restore_replicas}}]
extensions:
  - {name: other}
  - {name: hotfire, id: FLT-POD-001, level: MUST, source: "https://y",
     targets: {word: engine-pods, count: 1}, budgets: {recovery_seconds: 120}}
"""


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def only_entry(root: Path) -> CatalogueEntry:
    [entry] = entries(root)
    return entry


@pytest.mark.parametrize(
    "mark",
    [
        MARK,
        f"[{MARK}, pytest.mark.slow]",
        f"hotfire.{MARK}",
        MARK.replace('{"streaming"}', 'frozenset({"streaming"})'),
    ],
)
def test_check_is_read_from_its_mark(tmp_path: Path, mark: str) -> None:
    write(tmp_path, "suites/api/test_stream.py", SUITE.replace("{mark}", mark))
    write(tmp_path, "tests/defects/test_stream.py", "")

    entry = only_entry(tmp_path)

    claim = entry.requirement
    assert (claim.id, claim.level, claim.source) == ("API-003", Level.MUST, "https://x")
    assert claim.statement == "A stream ends with the sentinel."
    assert claim.features == {"streaming"}
    assert entry.twin == Path("tests/defects/test_stream.py")
    assert entry.steps == (("test_done", "The last event is the sentinel."),)


def test_fault_is_read_from_its_extension(tmp_path: Path) -> None:
    write(tmp_path, "experiments/pods/kill-one.yaml", FAULT)

    entry = only_entry(tmp_path)

    assert (entry.requirement.id, entry.kind, entry.area) == ("FLT-POD-001", "fault", "pods")
    assert ("budget: recovery_seconds", "120") in entry.limits
    assert entry.steps[1] == ("kill", "method: kill_one_pod")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("suites/api/test_x.py", "def test_it(): pass"),
        ("suites/api/test_x.py", "def broken("),
        ("suites/api/test_x.py", 'pytestmark = requirement("API-001", Level.MUST, __doc__)'),
        ("experiments/pods/x.yaml", "title: x"),
        ("experiments/pods/x.yaml", "a: ["),
    ],
)
def test_file_that_claims_nothing_is_named(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, name, text)

    with pytest.raises(ProfileError, match=f"^{name}: cannot read its"):
        entries(tmp_path)


def test_unknown_word_is_answered_with_the_closest(tmp_path: Path) -> None:
    write(tmp_path, "experiments/pods/kill-one.yaml", FAULT)
    known = entries(tmp_path)

    refuse_unknown(["flt-pod-001", "PODS"], known)
    with pytest.raises(ProfileError, match="did you mean 'pods'"):
        refuse_unknown(["pod"], known)


def test_this_checkout_is_read_whole_and_reuses_no_id() -> None:
    root = project_root()
    files = {*root.glob("suites/*/test_*.py"), *root.glob("experiments/*/*.yaml")}

    found = entries(root)

    assert {root / entry.path for entry in found} == files
    assert len({entry.requirement.id for entry in found}) == len(files) > 0
