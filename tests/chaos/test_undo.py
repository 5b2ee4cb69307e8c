"""The undo is on this disk and in the cluster before anything may be broken."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotfire.chaos import undo
from hotfire.chaos.undo import State, Undo, UndoEntry, UndoJournal
from hotfire.cluster import Cluster
from hotfire.errors import ClusterError, RollbackFailed
from tests.chaos.platform import SYSTEM
from tests.fake_api import FakeApi


def entry(id_: str = "u-1") -> UndoEntry:
    return UndoEntry(
        id=id_,
        at=datetime.now(UTC),
        run_id="r",
        cluster_uid="c",
        fault="FLT-POD-001",
        target={},
        undo=Undo(func="replacement", args={"ready": "2"}),
        expires_at=None,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "undo.jsonl"


@pytest.fixture
def journal(path: Path, cluster: Cluster) -> UndoJournal:
    return UndoJournal(path, cluster, SYSTEM)


def test_an_armed_entry_can_be_read_from_the_disk_and_from_the_cluster_alone(
    journal: UndoJournal, path: Path, cluster: Cluster
) -> None:
    armed = entry()

    journal.arm(armed)

    assert undo.read(path) == [armed]
    assert undo.copies(cluster, SYSTEM) == [armed]


def test_arming_fails_when_the_cluster_refuses_its_copy(journal: UndoJournal, api: FakeApi) -> None:
    api.refuse["PATCH configmaps"] = 403

    with pytest.raises(ClusterError):
        journal.arm(entry())


def test_a_healed_entry_is_open_nowhere(journal: UndoJournal, path: Path, cluster: Cluster) -> None:
    journal.arm(entry())
    journal.mark(entry(), State.INJECTED)

    journal.mark(entry(), State.HEALED)

    assert journal.open() == []
    assert undo.copies(cluster, SYSTEM) == []
    assert [one.state for one in undo.read(path)] == ["armed", "injected", "healed"]


def test_open_entries_come_newest_first(journal: UndoJournal) -> None:
    for id_ in ("u-1", "u-2", "u-3"):
        journal.arm(entry(id_))

    assert [one.id for one in journal.open()] == ["u-3", "u-2", "u-1"]


def test_a_line_torn_by_a_crash_was_never_fired_and_is_left_out(
    journal: UndoJournal, path: Path
) -> None:
    journal.arm(entry())
    with path.open("a") as file:
        file.write('{"id": "u-2", "at"')

    assert [one.id for one in journal.open()] == ["u-1"]


def test_a_damaged_line_in_the_middle_is_never_passed_over(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"garbage\n{entry().model_dump_json()}\n")

    with pytest.raises(RollbackFailed, match="heal by hand"):
        undo.read(path)
