"""An engine is killed amid its streams: they are cut, and no half answer may look whole."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hotfire.chaos import beside, engine_counts
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.cuts_told import CutsTold
from hotfire.chaos.sightings.streams_cut import StreamsCut
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.steps.process_signal import ProcessSignal
from hotfire.chaos.targets.engine_pods import EnginePods
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.measure.history import CONTRADICTED, FailureClass, Request, to_row
from tests.chaos.fake_agent import FakeAgent, told
from tests.chaos.platform import Platform, run_directory
from tests.chaos.scenes import entry, scene
from tests.test_recovery import served

TOKENS = 11
LOAD = MoreLoad(times=0.5, max_tokens=TOKENS)
KILL = ProcessSignal(signal="KILL", amid_streams=3)
CUT = replace(served(0), status=200, error_class=FailureClass.RESET_MIDSTREAM)
BEFORE_IT_BEGAN = replace(CUT, headers_ns=None, first_ns=None, status=None)


@dataclass
class Sent:
    """A load beside that has these rows so far."""

    sent: list[Request]

    def alive(self) -> bool:
        return True

    def rows(self) -> list[Request]:
        return self.sent


@pytest.fixture
def plan(world: World, platform: Platform) -> Plan:
    return EnginePods().resolve(world, "FLT-POD-005")


def running(world: World, count: float) -> World:
    lines = [f'vllm:num_requests_running{{engine="0"}} {count}']
    return told(world, {"engine.metrics": {"lines": lines}})


def test_it_is_killed_once_it_writes_so_many_streams(world: World, plan: Plan) -> None:
    found = running(world, 3)

    KILL.fire(found, entry(plan.targets[0]))

    assert isinstance(found.agent, FakeAgent)
    [(node, operation, order)] = found.agent.fired
    assert (node, operation, order["signal"]) == ("n1", "process.signal", "KILL")


def test_an_engine_that_is_not_as_busy_or_is_gone_is_not_killed(world: World, plan: Plan) -> None:
    target, found = plan.targets[0], running(world, 2)
    with pytest.raises(FaultNotInjected, match="3 requests running in engine-1"):
        KILL.fire(found, entry(target))
    assert isinstance(found.agent, FakeAgent)
    assert not found.agent.fired

    with pytest.raises(HarnessError, match="is gone"):
        engine_counts.running(world, target.model_copy(update={"uid": "another"}))


@pytest.fixture
def cut_scene(world: World, plan: Plan, platform: Platform) -> Scene:
    """The fault after the engine was restarted."""
    found = scene(world, plan)
    platform.pod("engine-1")["status"]["containerStatuses"][0]["restartCount"] = 1
    return found


def runs_beside(monkeypatch: pytest.MonkeyPatch, rows: list[Request]) -> None:
    load: beside.Load = Sent(rows)
    running = {"u-1": (ExitStack(), load)}
    monkeypatch.setattr(beside, "_BESIDE", beside._Beside(running=running))


@pytest.mark.parametrize(("rows", "seen"), [([CUT], "yes"), ([BEFORE_IT_BEGAN], "no"), ([], "no")])
def test_only_a_cut_after_the_first_token_counts(
    cut_scene: Scene, monkeypatch: pytest.MonkeyPatch, rows: list[Request], seen: str
) -> None:
    runs_beside(monkeypatch, rows)

    assert StreamsCut().look(cut_scene).seen == seen


def test_a_cut_without_the_engine_s_end_or_without_a_load_proves_nothing(
    world: World, plan: Plan, cut_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert StreamsCut().look(cut_scene).seen == "no"

    runs_beside(monkeypatch, [CUT])
    assert StreamsCut().look(scene(world, plan)).seen == "no"


def recorded(world: World, plan: Plan, folder: Path, *rows: Request) -> Scene:
    """Return the fault after its load beside has left this history."""
    run = run_directory(folder)
    found = scene(replace(world, run=run), plan)
    written = entry(plan.targets[0], LOAD.model_dump(mode="json"))
    path = run.history_path(MoreLoad.name_of(written))
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered = [replace(row, seq=seq) for seq, row in enumerate(rows)]
    path.write_text("".join(json.dumps(to_row(row)) + "\n" for row in numbered))
    return replace(found, entries=(written, *found.entries))


def answer(n_out: int | None, source: str = "usage") -> Request:
    return replace(served(0), n_out=n_out, token_source=source)


@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        ([answer(TOKENS), CUT], "yes"),
        ([answer(TOKENS), answer(TOKENS - 1)], "no"),
        ([answer(TOKENS), answer(TOKENS + 4)], "no"),
        ([answer(TOKENS), answer(TOKENS, CONTRADICTED)], "no"),
        ([answer(TOKENS), answer(None, "chunks")], "yes"),
        ([answer(None, "chunks")], "unknown"),
        ([CUT], "unknown"),
    ],
    ids=["told", "short", "resumed", "contradicted", "one-untold", "all-untold", "none-ended-well"],
)
def test_an_answer_that_ended_well_has_the_tokens_that_were_asked_for(
    world: World, plan: Plan, tmp_path: Path, rows: list[Request], seen: str
) -> None:
    assert CutsTold().look(recorded(world, plan, tmp_path, *rows)).seen == seen


def test_without_its_engines_nothing_is_put_right(
    world: World, plan: Plan, platform: Platform, tmp_path: Path
) -> None:
    found = recorded(world, plan, tmp_path, answer(TOKENS))
    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"

    assert CutsTold().look(found).seen == "no"


def test_outside_a_run_nobody_recorded_it(world: World, plan: Plan, tmp_path: Path) -> None:
    found = recorded(world, plan, tmp_path, answer(TOKENS))

    with pytest.raises(HarnessError, match="recorded in a run, and there is none"):
        CutsTold().look(replace(found, world=replace(found.world, run=None)))
