"""The undo is on this disk and in the cluster before anything may be broken."""

import fcntl
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotfire.chaos import undo
from hotfire.chaos.undo import State, Undo, UndoEntry, UndoJournal
from hotfire.chaos.written import Target
from hotfire.cluster import Cluster
from hotfire.errors import ClusterError, HarnessError
from tests.chaos.platform import NAMESPACE, SYSTEM
from tests.fake_api import FakeApi


def entry(id_: str = "u-1") -> UndoEntry:
    return UndoEntry(
        id=id_,
        at=datetime.now(UTC),
        run_id="r",
        cluster_uid="c",
        fault="FLT-POD-001",
        target=Target(name="engine-1", namespace=NAMESPACE, uid="u"),
        undo=Undo(step={"word": "pod-kill"}, ready=2),
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

    assert undo.read(path).entries == [armed]
    assert undo.copies(cluster, SYSTEM).entries == [armed]


def test_arming_fails_when_the_cluster_refuses_its_copy(journal: UndoJournal, api: FakeApi) -> None:
    api.refuse["PATCH configmaps"] = 403

    with pytest.raises(ClusterError):
        journal.arm(entry())


def test_a_healed_entry_is_open_nowhere(journal: UndoJournal, path: Path, cluster: Cluster) -> None:
    journal.arm(entry())
    journal.mark(entry(), State.INJECTED)

    journal.mark(entry(), State.HEALED)

    assert journal.open() == []
    assert undo.copies(cluster, SYSTEM).entries == []
    assert [one.state for one in undo.read(path).entries] == ["armed", "injected", "healed"]


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


def test_a_damaged_line_is_told_and_hides_no_other(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"garbage\n{entry().model_dump_json()}\n")

    found = undo.read(path)

    assert [one.id for one in found.entries] == ["u-1"]
    assert [one.where for one in found.unreadable] == [f"{path}:1"]


def test_a_line_of_a_later_version_is_told_by_its_field(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(entry().model_dump_json().replace("{", '{"added_later": 1, ', 1) + "\n")

    [record] = undo.read(path).unreadable

    assert "added_later" in str(record)
    assert "version that wrote it" in str(record)


def test_a_journal_that_cannot_be_read_at_all_is_told(path: Path) -> None:
    path.mkdir(parents=True)

    assert [one.where for one in undo.read(path).unreadable] == [str(path)]


def test_a_copy_that_cannot_be_read_is_told_and_hides_no_other(
    journal: UndoJournal, cluster: Cluster, api: FakeApi
) -> None:
    journal.arm(entry())
    edited = undo.config_map(entry("u-2"), SYSTEM)
    edited["data"] = {}
    api.put(edited)

    found = undo.copies(cluster, SYSTEM)

    assert [one.id for one in found.entries] == ["u-1"]
    assert [one.where for one in found.unreadable] == [f"ConfigMap {SYSTEM}/hotfire-undo-u-2"]


def append_on_a_full_disk(path: Path, *, room_bytes: int) -> str:
    """Append in a process whose files cannot grow beyond ``room_bytes`` more; return its error."""
    size = path.stat().st_size if path.exists() else 0
    program = f"""
import pathlib, resource, signal, sys
from hotfire.chaos import undo
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size + room_bytes}, resource.RLIM_INFINITY))
entry = undo.UndoEntry.model_validate_json(sys.stdin.read())
try:
    undo.append(pathlib.Path({str(path)!r}), entry)
except undo.HarnessError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=entry("u-full").model_dump_json(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("room_bytes", [0, 50])
def test_arming_on_a_full_disk_fails_and_leaves_no_half_of_a_line(
    path: Path, room_bytes: int
) -> None:
    undo.append(path, entry())
    before = path.read_bytes()

    said = append_on_a_full_disk(path, room_bytes=room_bytes)

    assert "takes no undo entry (armed)" in said
    assert path.read_bytes() == before


def test_a_line_after_a_torn_one_is_whole(path: Path) -> None:
    undo.append(path, entry())
    with path.open("a") as file:
        file.write('{"id": "u-2", "at"')

    undo.append(path, entry("u-3"))

    found = undo.read(path)
    assert [one.id for one in found.entries] == ["u-1", "u-3"]
    assert found.unreadable == []


def test_a_whole_last_line_without_its_end_is_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(entry().model_dump_json())

    undo.append(path, entry("u-2"))

    assert [one.id for one in undo.read(path).entries] == ["u-1", "u-2"]


def test_writers_of_one_journal_wait_for_each_other_but_not_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "_LOCK_SECONDS", 0.05)
    undo.append(path, entry())

    with path.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(HarnessError, match="the lock of"):
            undo.append(path, entry("u-2"))

    assert [one.id for one in undo.read(path).entries] == ["u-1"]


def test_what_the_disk_does_not_take_as_healed_is_removed_from_the_cluster_all_the_same(
    journal: UndoJournal, path: Path, cluster: Cluster
) -> None:
    journal.arm(entry())
    path.unlink()
    path.mkdir()

    with pytest.raises(HarnessError, match="takes no undo entry"):
        journal.mark(entry(), State.HEALED)

    assert undo.copies(cluster, SYSTEM).entries == []


def test_what_another_version_healed_itself_is_nobodys_trouble(path: Path) -> None:
    other = [
        {"id": "u-8", "state": "armed", "target": {"pod": "engine-1"}},
        {"id": "u-9", "state": "armed", "target": {"pod": "engine-2"}},
        {"id": "u-8", "state": "healed", "target": {"pod": "engine-1"}},
    ]
    path.parent.mkdir()
    path.write_text("".join(json.dumps(one) + "\n" for one in other))

    found = undo.read(path)

    assert [one.where for one in found.unreadable] == [f"{path}:2"]
