"""Undo entries: written before anything is done, and none of them in the way of another's undo."""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from signal import SIGTERM

import pytest

from hotfire.agent import entries
from hotfire.agent.entries import Entries, Entry, boot_id, boot_seconds
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations
from tests.agent import disks
from tests.agent.world import Agent

MODE = "var/lib/hotfire/model-store/mode"
ORDER = {"op": "store.mode", "id": "u-1", "ttl_seconds": 60, "mode": "corrupt"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of the lab, whose model store reads its mode from a file."""
    (tmp_path / MODE).parent.mkdir(parents=True)
    return tmp_path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """The file system of the entries."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with disks.small_disk(tmp_path / "state") as disk:
        yield disk


def operations(root: Path) -> Operations:
    return Operations(Host((), root), Entries(root / "state"))


def written(root: Path, **facts: object) -> Path:
    """Write what a killed agent leaves: the entry of a fault that is in effect."""
    (root / MODE).write_text("corrupt\n")
    now = boot_seconds()
    entry = Entry("u-1", "store.mode", {"mode": "corrupt"}, now + 60, now, boot_id(), "injected")
    document = asdict(entry) | facts
    path = root / "state" / f"{document['id']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("spoil", disks.SPOILED)
def test_what_a_killed_agent_left_is_undone_on_a_disk_that_takes_nothing(
    root: Path, disk: Path, spoil: Callable[[Path], None]
) -> None:
    written(root)
    spoil(disk)

    node = operations(root)
    node.start()

    assert not (root / MODE).exists()
    assert node.idle()


@pytest.mark.parametrize("spoil", disks.SPOILED)
def test_nothing_is_fired_when_the_disk_does_not_take_the_entry(
    root: Path, disk: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(disk)
    node = operations(root)

    with pytest.raises(OperationError, match="takes no undo entry, so nothing was fired"):
        node.answer(dict(ORDER))

    assert not (root / MODE).exists()
    assert node.idle()
    assert list(disk.glob("*.new")) == []


@pytest.mark.parametrize("spoil", disks.SPOILED)
def test_a_running_fault_is_renewed_and_undone_on_a_disk_that_takes_nothing(
    root: Path, disk: Path, spoil: Callable[[Path], None]
) -> None:
    node = operations(root)
    node.answer(dict(ORDER))
    spoil(disk)

    node.answer({"op": "renew", "id": "u-1", "ttl_seconds": 120})
    problems = node.heal_all()

    assert problems == []
    assert not (root / MODE).exists()


def test_what_the_disk_did_not_take_follows_when_it_can(
    root: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_RETRY_SECONDS", 0.0)
    node = operations(root)
    node.answer(dict(ORDER))
    disks.read_only(disk)
    node.heal_all()
    disks.run("mount", "-o", "remount,rw", str(disk))

    node.tick()

    assert list(disk.glob("*.json")) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "u-0", "op": "link',
        "",
        "[1]",
        "[" * 100_000,
        '{"id": "u-0"}',
        '{"id": 7}',
    ],
)
def test_an_entry_that_cannot_be_read_is_told_and_the_others_are_undone(
    root: Path, text: str
) -> None:
    written(root)
    (root / "state/u-0.json").write_text(text)

    node = operations(root)
    node.start()

    assert not (root / MODE).exists()
    [problem] = node.heal_all()
    assert problem.startswith("u-0.json: an undo entry that cannot be read")
    assert (root / "state/u-0.json").exists()


@pytest.mark.parametrize(
    "facts",
    [
        {"added_later": 1},
        {"op": 7},
        {"observed": []},
        {"state": "half"},
        {"expires_at": "soon"},
        {"armed_at": math.nan},
    ],
)
def test_an_entry_of_another_shape_is_told_and_not_guessed_at(
    root: Path, facts: dict[str, object]
) -> None:
    written(root, **{"id": "u-0", **facts})

    node = operations(root)
    node.start()

    assert (root / MODE).exists()
    assert list(Entries(root / "state").unreadable) == ["u-0.json"]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"op": "link.future"}, "this version has no such operation"),
        ({"op": "gpu.health", "args": {}}, "KeyError: 'uuid'"),
        ({"op": "process.signal", "args": {"signal": "STOP"}}, "KeyError: 'processes'"),
        ({"op": "device.hog", "observed": {"pid": "x", "started_ticks": 1}}, "ValueError"),
    ],
)
def test_an_entry_whose_undo_stumbles_keeps_no_other_from_being_undone(
    root: Path, facts: dict[str, object], problem: str
) -> None:
    written(root, **{"id": "u-0", "armed_at": 1e12, **facts})
    written(root)

    node = operations(root)
    node.start()

    assert not (root / MODE).exists()
    [told] = node.heal_all()
    assert told.startswith("u-0: ")
    assert problem in told


def test_nothing_is_fired_where_something_unknown_may_be_broken(root: Path) -> None:
    (root / "state").mkdir()
    (root / "state/u-0.json").write_text("{")

    with pytest.raises(OperationError, match="nothing was fired: u-0"):
        operations(root).answer(dict(ORDER))

    assert not (root / MODE).exists()


def test_nothing_is_fired_once_the_code_of_the_agent_was_changed(root: Path) -> None:
    node = Operations(Host((), root), Entries(root / "state"), code="0" * 64)

    with pytest.raises(OperationError, match="code was changed"):
        node.answer(dict(ORDER))


def test_a_lease_is_not_renewed_beyond_an_hour_after_arming(tmp_path: Path) -> None:
    known = Entries(tmp_path)
    armed = known.arm("u-1", "store.mode", {}, ttl_seconds=60)
    early = replace(armed, armed_at=armed.armed_at - 3000)
    (tmp_path / "u-1.json").write_text(json.dumps(asdict(early)))

    renewed = Entries(tmp_path).renew("u-1", ttl_seconds=3600)

    assert renewed.expires_at == early.armed_at + 3600


@pytest.mark.parametrize("seconds", [0, -1, 3600.5, math.nan, math.inf, "soon", None, 10**400])
def test_a_lease_of_a_silly_length_is_refused(root: Path, seconds: object) -> None:
    node = operations(root)
    node.answer(dict(ORDER))

    with pytest.raises(OperationError, match="ttl_seconds"):
        node.answer({"op": "renew", "id": "u-1", "ttl_seconds": seconds})


def test_what_is_being_undone_is_not_renewed(root: Path) -> None:
    node = operations(root)
    node.answer(dict(ORDER))
    (root / MODE).unlink()
    (root / MODE).mkdir()
    problems = node.heal_all()

    with pytest.raises(OperationError, match="it is being undone"):
        node.answer({"op": "renew", "id": "u-1", "ttl_seconds": 60})

    assert problems[0].startswith("u-1: IsADirectoryError")


def test_nothing_is_left_on_the_disk_once_all_is_healed(root: Path) -> None:
    node = operations(root)
    node.answer(dict(ORDER))

    node.leave()

    assert list((root / "state").iterdir()) == []


def test_an_agent_with_nothing_open_leaves_no_folder_behind(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "node" / "of-ours")
    agent.folder.mkdir(parents=True)
    agent.start()
    state = agent.folder / "state"
    assert state.is_dir()

    agent.end(SIGTERM)

    assert not state.exists()


def test_what_an_agent_could_not_read_stays_where_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "u-1.json").write_text("half an ent")
    agent = Agent(tmp_path)
    agent.start()

    agent.end(SIGTERM)

    assert [path.name for path in state.iterdir()] == ["u-1.json"]
