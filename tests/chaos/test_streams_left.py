"""Clients leave their streams, a few at a time or all at once, and the engines' counters tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from hotfire.chaos import beside, engine_counts
from hotfire.chaos.plan import World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.requests_refused import RequestsRefused
from hotfire.chaos.sightings.streams_aborted import StreamsAborted
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.steps.stream_burst import StreamBurst
from hotfire.chaos.targets.rated_model import RatedModel
from hotfire.errors import ClusterError, FaultNotInjected, HarnessError
from hotfire.measure.history import FailureClass, Request
from tests.chaos.fake_agent import Answers, FakeAgent, told
from tests.chaos.platform import Platform
from tests.chaos.scenes import entry, scene, unnoted
from tests.test_recovery import served

BURST = StreamBurst(streams=24, max_tokens=1500, running=20)
ABORTED = StreamsAborted(at_least=16)


class FakeLoad:
    """A load whose requests have ended so."""

    def __init__(self, ends: list[FailureClass | None]) -> None:
        self.ends, self.living = ends, True

    def alive(self) -> bool:
        return self.living

    def rows(self) -> list[Request]:
        return [replace(served(0), seq=seq, error_class=end) for seq, end in enumerate(self.ends)]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> FakeLoad:
    """What is started from now on."""
    found = FakeLoad([])

    @contextmanager
    def started(world: World, name: str, changes: dict[str, Any]) -> Iterator[FakeLoad]:
        yield found
        found.living = False

    monkeypatch.setattr(beside, "_BESIDE", beside._Beside(starter=started))
    return found


def counts(*, running: float = 10, aborted: float = 3) -> Answers:
    """Return what each engine tells; vLLM does not tell how many it gave up."""
    lines = [
        f'vllm:num_requests_running{{engine="0"}} {running}',
        'vllm:request_success_total{finished_reason="abort"} 0',
        'vllm:request_success_total{finished_reason="stop"} 500',
        f"vllm:time_to_first_token_seconds_count {500 + running + aborted}",
    ]

    def answer(_node: str, *, names: list[str], **_: object) -> dict[str, list[str]]:
        return {"lines": [one for one in lines if one.startswith(tuple(names))]}

    return {"engine.metrics": answer}


def at(world: World, **changes: float) -> Scene:
    """Return the fault where each of the two engines tells this."""
    found = told(world, counts(**changes))
    plan = RatedModel().resolve(found, "FLT-LOA-004")
    return scene(found, plan, ABORTED)


def tell(found: Scene, answers: Answers) -> None:
    assert isinstance(found.world.agent, FakeAgent)
    found.world.agent.answers = answers


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Two engines."""


def test_counts_are_summed_over_the_engines(world: World) -> None:
    assert engine_counts.aborted(told(world, counts(aborted=4))) == 8


@pytest.mark.parametrize("lines", [[], ["vllm:num_requests_running NaN"]])
def test_a_count_that_an_engine_does_not_tell_is_unknown(world: World, lines: list[str]) -> None:
    silent = told(world, {"engine.metrics": {"lines": lines}})

    with pytest.raises(HarnessError, match="does not tell vllm:num_requests_running"):
        engine_counts.total(silent, engine_counts.RUNNING)
    with pytest.raises(HarnessError, match="does not tell vllm:time_to_first_token_seconds_count"):
        engine_counts.aborted(silent)


def test_a_kind_that_counts_them_is_believed(world: World) -> None:
    engine = world.profile.engine.model_copy(update={"kind": "sglang"})
    answers: Answers = {"engine.metrics": {"lines": ["sglang:num_aborted_requests_total 4"]}}
    profile = world.profile.model_copy(update={"engine": engine})

    assert engine_counts.aborted(replace(told(world, answers), profile=profile)) == 8


def test_what_the_kind_of_engine_does_not_tell_is_unknown(world: World) -> None:
    engine = world.profile.engine.model_copy(update={"kind": "tgi"})
    other = replace(world, profile=world.profile.model_copy(update={"engine": engine}))

    with pytest.raises(HarnessError, match="engines of kind tgi tell no number of requests abort"):
        engine_counts.aborted(other)


def test_an_engine_is_asked_where_its_page_is_and_by_its_own_names(world: World) -> None:
    engine = world.profile.engine.model_copy(update={"kind": "tensorrt-llm"})
    asked: list[str] = []

    def answer(_node: str, *, names: list[str], path: str, **_: object) -> dict[str, list[str]]:
        asked.extend([path, *names])
        return {"lines": [f"{name} 2" for name in names]}

    other = replace(
        told(world, {"engine.metrics": answer}),
        profile=world.profile.model_copy(update={"engine": engine}),
    )

    assert engine_counts.total(other, engine_counts.RUNNING) == 4
    assert set(asked) == {"/prometheus/metrics", "trtllm_num_requests_running"}


def test_without_an_engine_nobody_counts(world: World, platform: Platform) -> None:
    for name in ("engine-1", "engine-2"):
        platform.pod(name)["status"]["phase"] = "Failed"

    with pytest.raises(HarnessError, match="no engine is Ready"):
        engine_counts.aborted(world)


@pytest.mark.parametrize(("aborted", "seen"), [(3, "no"), (10, "no"), (11, "yes")])
def test_so_many_aborts_must_be_counted_since(world: World, aborted: float, seen: str) -> None:
    found = at(world, aborted=3)
    tell(found, counts(aborted=aborted))

    assert ABORTED.look(found).seen == seen


def test_engines_that_write_on_for_clients_who_left_are_seen(world: World, load: FakeLoad) -> None:
    found = at(world, aborted=3)
    beside.start(world, found.entries[0].id, "beside", {})
    load.ends = [FailureClass.DEADLINE] * 40 + [None] * 40 + [FailureClass.HTTP_503] * 40

    tell(found, counts(aborted=18))
    assert ABORTED.look(found).seen == "no"
    tell(found, counts(aborted=19))
    assert ABORTED.look(found).seen == "yes"
    beside.end(found.entries[0].id)


def test_aborts_are_unknown_where_nobody_asked_before_or_can_ask_now(world: World) -> None:
    found = at(world)

    with pytest.raises(HarnessError, match="nobody noted"):
        ABORTED.look(unnoted(found))
    tell(found, {})
    with pytest.raises(ClusterError):
        ABORTED.look(found)


def test_a_burst_is_cancelled_once_the_engines_write_it(world: World, load: FakeLoad) -> None:
    found = at(world, running=10)
    target = found.plan.targets[0]
    assert "may refuse" in BURST.rehearse(found.world, target)

    fired = BURST.fire(found.world, entry(target))

    assert not load.living
    assert fired.data == {"history": "FLT-X-001-beside"}
    assert BURST.changes()["concurrency"] == 24
    assert "no stream" in BURST.end(found.world, entry(target), within_seconds=1)


def test_a_burst_that_nobody_writes_has_injected_nothing_and_is_over(
    world: World, load: FakeLoad
) -> None:
    found = at(world, running=9)

    with pytest.raises(FaultNotInjected, match="20 requests running in the engines"):
        BURST.fire(found.world, entry(found.plan.targets[0]))
    assert not load.living


def test_clients_leave_when_they_are_told_to(world: World) -> None:
    step = MoreLoad(times=1, max_tokens=1000, leave_seconds=1)

    assert step.changes(world)["deadline_seconds"] == 1


@pytest.mark.parametrize(
    ("ends", "seen"),
    [
        ([FailureClass.HTTP_429, FailureClass.HTTP_503, None], "yes"),
        ([FailureClass.HTTP_429, FailureClass.HTTP_5XX, None], "no"),
        ([], "no"),
    ],
)
def test_refusals_are_those_that_the_load_beside_was_told(
    world: World, load: FakeLoad, ends: list[FailureClass | None], seen: str
) -> None:
    found = at(world)
    assert RequestsRefused(at_least=2).look(found) == ("no", "no load beside runs")

    beside.start(world, found.entries[0].id, "beside", {})
    load.ends = ends
    assert RequestsRefused(at_least=2).look(found).seen == seen
    beside.end(found.entries[0].id)
