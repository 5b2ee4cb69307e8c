"""An engine is killed while requests wait for a first token: each is served after all, or told."""

from dataclasses import replace
from pathlib import Path

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings.caught_waiting import CaughtWaiting
from hotfire.chaos.sightings.waiters_told import WaitersTold
from hotfire.chaos.steps.process_signal import ProcessSignal
from hotfire.chaos.targets.engine_pods import EnginePods
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from tests.chaos.fake_agent import FakeAgent, told
from tests.chaos.platform import Platform
from tests.chaos.scenes import entry, scene
from tests.chaos.test_cut_streams import TOKENS, recorded, runs_beside
from tests.test_recovery import S, served

CAUGHT, TOLD = CaughtWaiting(seconds=1), WaitersTold(seconds=1)
QUICK, RETRIED = served(0), served(0, ttft=1.2)
SHORT = replace(RETRIED, n_out=TOKENS - 1)


@pytest.fixture
def plan(world: World, platform: Platform) -> Plan:
    return EnginePods().resolve(world, "FLT-POD-004")


def ended(why: FailureClass, *, after: float = 1.2) -> Request:
    """Return a request that ended without a first token."""
    end_ns = QUICK.sched_ns + round(after * S)
    row = replace(QUICK, error_class=why, end_ns=end_ns, n_out=None)
    return replace(row, first_ns=None, last_ns=None, gaps_us=())


REFUSED, HUNG = ended(FailureClass.HTTP_503), ended(FailureClass.DEADLINE, after=10)
AT_ONCE, EMPTY = ended(FailureClass.HTTP_503, after=0.1), ended(FailureClass.TRUNCATED_NO_DONE)
NOT_SENT = ended(FailureClass.NOT_SENT)


def test_it_is_killed_some_time_after_it_stood_still(world: World, plan: Plan) -> None:
    found = told(world, {})

    ProcessSignal(signal="KILL", after_seconds=0.01).fire(found, entry(plan.targets[0]))

    assert isinstance(found.agent, FakeAgent)
    [(_, operation, order)] = found.agent.fired
    assert (operation, order["signal"]) == ("process.signal", "KILL")


def test_the_standstill_before_it_is_kept_by_the_agent(world: World, plan: Plan) -> None:
    step = ProcessSignal(signal="KILL", standing_seconds=2)

    assert step.order(world, plan.targets[0])["standing_seconds"] == 2
    with pytest.raises(ValueError, match="goes with `signal: KILL`"):
        ProcessSignal(signal="STOP", standing_seconds=2)


@pytest.mark.parametrize(
    ("died", "seen"),
    [
        (([RETRIED], 1), "yes"),
        (([REFUSED], 1), "yes"),
        (([QUICK, AT_ONCE, NOT_SENT], 1), "no"),
        (([], 1), "no"),
        (([REFUSED], 0), "no"),
    ],
    ids=["retried", "refused", "nobody-waited", "nobody", "alive"],
)
def test_who_waited_as_long_as_the_engine_stood_was_caught(
    world: World,
    plan: Plan,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    died: tuple[list[Request], int],
    seen: str,
) -> None:
    found, (rows, restarts) = scene(world, plan), died
    platform.pod("engine-1")["status"]["containerStatuses"][0]["restartCount"] = restarts
    runs_beside(monkeypatch, rows)

    assert CAUGHT.look(found).seen == seen


@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        ([RETRIED, REFUSED, QUICK], "yes"),
        ([REFUSED, HUNG], "no"),
        ([REFUSED, EMPTY], "no"),
        ([RETRIED, SHORT], "no"),
        ([QUICK], "unknown"),
        ([], "unknown"),
    ],
    ids=["served-or-told", "hung", "empty", "short", "nobody-waited", "nobody"],
)
def test_each_of_them_is_served_or_told(
    world: World, plan: Plan, tmp_path: Path, rows: list[Request], seen: str
) -> None:
    assert TOLD.look(recorded(world, plan, tmp_path, *rows)).seen == seen


def test_without_its_engines_nothing_is_put_right(
    world: World, plan: Plan, platform: Platform, tmp_path: Path
) -> None:
    found = recorded(world, plan, tmp_path, REFUSED)
    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"

    assert TOLD.look(found).seen == "no"


def test_outside_a_run_nobody_recorded_it(world: World, plan: Plan, tmp_path: Path) -> None:
    found = recorded(world, plan, tmp_path, REFUSED)

    with pytest.raises(HarnessError, match="recorded in a run, and there is none"):
        TOLD.look(replace(found, world=replace(found.world, run=None)))
