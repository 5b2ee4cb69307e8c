"""What proves a fault was not there before it: pods, restarts and lines of a log."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hotfire.chaos import actions, probes
from hotfire.chaos.armed import VARIABLE, Armed, Shot
from hotfire.chaos.before import logged_since, observed, recorded
from hotfire.chaos.blast import prove, resolve
from hotfire.chaos.fault import Fault
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World
from hotfire.chaos.sightings.devices_offered import DevicesOffered
from hotfire.chaos.undo import Undo, UndoEntry, UndoJournal
from hotfire.errors import HarnessError
from hotfire.rundir import RunDirectory
from tests.chaos.platform import KILL, SYSTEM, Platform, engine_pod, run_directory
from tests.fake_api import FakeApi

DAY = "2026-01-01T00:00:0"
FAULT = "FLT-POD-001"


@pytest.fixture
def run(tmp_path: Path, world: World) -> Iterator[RunDirectory]:
    """A run that has the cluster."""
    found = run_directory(tmp_path)
    lease = RunLease(
        world.cluster, SYSTEM, run_id=found.info().run_id, lease_seconds=60, on_lost=lambda: None
    )
    with lease:
        yield found


def armed(
    world: World, run: RunDirectory, monkeypatch: pytest.MonkeyPatch, fault: Fault = KILL
) -> Shot:
    """Return a fault that is planned and armed for this process, but not fired."""
    plan = resolve(world, fault)
    prove(world, fault, plan)
    entry = UndoEntry(
        id="u-1", at=datetime.now(UTC), run_id=run.info().run_id, cluster_uid="c", fault=FAULT,
        target=plan.targets[0], undo=Undo(step={"word": "pod-kill"}, ready=2), expires_at=None,
    )  # fmt: skip
    UndoJournal(run.undo_path, world.cluster, SYSTEM).arm(entry)
    quick = world.profile.waits.model_copy(update={"injection_seconds": 0.5})
    profile = world.profile.model_copy(update={"waits": quick})
    told = Armed(
        fault=fault, plan=plan, entries=(entry,), profile=profile, run_directory=run.root,
        history=run.history_path(FAULT),
    )  # fmt: skip
    path = run.write_text("journals/armed.json", told.model_dump_json())
    monkeypatch.setenv(VARIABLE, str(path))
    return Shot(told)


def ghost(name: str) -> dict[str, object]:
    """Return an engine pod that was refused by its node and that nobody has removed."""
    pod = engine_pod(name, node="n9", ready=False)
    pod["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError"}
    return pod


@pytest.mark.parametrize("ready", [True, False])
def test_a_replacement_proves_that_the_pod_is_gone(
    world: World,
    platform: Platform,
    run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
    ready: bool,
) -> None:
    armed(world, run, monkeypatch)

    actions.inject()
    platform.add_engine(ready=ready)

    assert probes.seen()


def test_a_failed_pod_of_before_is_no_replacement(
    world: World, api: FakeApi, platform: Platform, run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    api.put(ghost("engine-0"))
    armed(world, run, monkeypatch)

    actions.inject()
    platform.publish()

    assert not probes.seen()


def test_a_pod_that_came_between_plan_and_firing_is_no_replacement(
    world: World, platform: Platform, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed(world, run, monkeypatch)
    platform.add_engine(ready=False)

    actions.inject()
    platform.publish()

    assert not probes.seen()


def test_a_replacement_that_its_node_refuses_is_none(
    world: World, api: FakeApi, platform: Platform, run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    armed(world, run, monkeypatch)

    actions.inject()
    platform.publish()
    api.put(ghost("engine-9"))

    assert not probes.seen()


def test_nothing_is_fired_once_the_survivors_are_gone(
    world: World, platform: Platform, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed(world, run, monkeypatch)
    platform.pod("engine-2")["status"]["phase"] = "Failed"

    with pytest.raises(HarnessError, match="survivors are not Ready any more"):
        actions.inject()
    assert run.events() == []


def test_what_the_end_is_known_by_is_noted_before_the_order(
    world: World, api: FakeApi, platform: Platform, run: RunDirectory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    status = {"allocatable": {"nvidia.com/gpu": "2"}}
    api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": status})
    shot = armed(world, run, monkeypatch, KILL.model_copy(update={"gone": DevicesOffered()}))

    actions.inject()

    assert recorded(run.events(), shot.plan).noted == {"devices": {"n1": 2}}


def test_restarts_before_the_order_are_not_the_faults(
    world: World, platform: Platform, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = armed(world, run, monkeypatch)
    platform.pod("engine-1")["status"]["containerStatuses"][0]["restartCount"] = 3

    seen = observed(shot.world, shot.plan)
    shot.tell("injected", source="test", before=seen.model_dump())

    assert recorded(shot.run.events(), shot.plan).restarts[shot.plan.targets[0].uid] == 3
    assert set(seen.engines) == set(shot.plan.before)


@pytest.mark.parametrize(
    ("last", "new"),
    [
        ("", "old\nlater\nnew"),
        (f"{DAY}1.000000000", "later\nnew"),
        (f"{DAY}1.500000000", "new"),
        (f"{DAY}9.000000000", ""),
    ],
)
def test_only_lines_younger_than_the_last_one_before_count(last: str, new: str) -> None:
    # Zeros at the end of a fraction may be missing, so the text of stamps does not sort.
    # A node writes them in its own time zone.
    shifted = "2026-01-01T05:30:01.500000001+05:30"
    log = f"{DAY}1Z old\n{DAY}1.5Z later\nno stamp\n{shifted} new\n"

    assert logged_since(log, last) == new
