"""What the lab remembers survives, and only one command at a time may change the lab."""

import os
from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.lab import standing
from hotfire.lab.shape import topology_file
from hotfire.lab.shape.state import LabRecord, Ports, State
from hotfire.lab.shape.topology import Topology

RECORD = LabRecord(
    checkout="/somewhere",
    started_at="2026-01-01T00:00:00+00:00",
    complete=True,
    topology=topology_file.document(Topology(nodes=5, racks=2, gpus_per_node=4)),
    ports=Ports(api=1, gateway=2, prometheus=3),
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "hotfire" / "lab")


def test_no_record_means_no_lab(state: State) -> None:
    assert state.read() is None


def test_record_comes_back_as_written(state: State) -> None:
    state.write(RECORD)

    assert State(state.home).read() == RECORD


def test_broken_record_reads_as_none(state: State) -> None:
    state.write(RECORD)
    (state.home / "lab.json").write_text('{"checkout": ')

    assert state.read() is None


def test_record_tells_the_topology_of_the_standing_lab() -> None:
    topology = standing(RECORD)

    assert (len(topology.workers), topology.racks, len(topology.workers[0].gpus)) == (5, 2, 4)


def test_directory_is_for_the_owner_only(state: State) -> None:
    state.write(RECORD)

    assert state.home.stat().st_mode & 0o077 == 0


def test_erasing_leaves_no_file_and_no_empty_parent(state: State) -> None:
    state.write(RECORD)

    state.erase()

    assert not state.home.parent.exists()


def test_lock_refuses_every_other_taker(state: State) -> None:
    with state.locked():
        for _ in range(2):
            with (
                pytest.raises(LabError, match="another hotfire command"),
                State(state.home).locked(),
            ):
                pytest.fail("two commands hold the lock")


def test_lock_whose_file_was_removed_by_its_last_holder_is_not_taken(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def open_then_remove(path: Path, flags: int, mode: int) -> int:
        descriptor = opened(path, flags, mode)
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_remove)

    with pytest.raises(LabError, match="another hotfire command"), state.locked():
        pytest.fail("a lock on a file that nobody else will find")


def test_lock_is_free_again_after_a_failure_and_leaves_no_file(state: State) -> None:
    with pytest.raises(ZeroDivisionError), state.locked():
        _ = 1 / 0

    with state.locked():
        pass
    assert list(state.home.parent.iterdir()) == []
