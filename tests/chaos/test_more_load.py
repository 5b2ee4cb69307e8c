"""A load beside the rated one is started, seen by what it sent, and ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hotfire.chaos import beside
from hotfire.chaos.before import Before
from hotfire.chaos.plan import World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.arrivals_raised import ArrivalsRaised
from hotfire.chaos.sightings.load_ended import LoadEnded
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.targets.rated_model import RatedModel
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.measure.history import Request
from tests.chaos.platform import Platform
from tests.test_recovery import served

RATE = 2 * 8.0
STEP = MoreLoad(times=2, prompt_words=300)


class FakeLoad:
    """A load that has sent one request every so often."""

    def __init__(self) -> None:
        self.living, self.sent, self.every_seconds = True, 0, 1 / RATE

    def alive(self) -> bool:
        return self.living

    def rows(self) -> list[Request]:
        at_ns = [round(seq * self.every_seconds * 1e9) for seq in range(self.sent)]
        return [replace(served(0), seq=seq, sched_ns=at) for seq, at in enumerate(at_ns)]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> FakeLoad:
    """What is started from now on."""
    found = FakeLoad()

    @contextmanager
    def started(world: World, name: str, changes: dict[str, Any]) -> Iterator[FakeLoad]:
        assert name == "FLT-LOA-002-beside"
        assert changes == {"rate_per_second": RATE, "seed": 1, "prompt_words": 300}
        yield found
        found.living = False

    monkeypatch.setattr(beside, "_BESIDE", beside._Beside(starter=started))
    return found


@pytest.fixture
def scene(world: World, platform: Platform) -> Scene:
    plan = RatedModel().resolve(world, "FLT-LOA-002")
    entry = UndoEntry(
        id="u-1", at=datetime.now(UTC), run_id="r", cluster_uid="c", fault="FLT-LOA-002",
        target=plan.targets[0], undo=Undo(step=STEP.model_dump(mode="json")), expires_at=None,
    )  # fmt: skip
    return Scene(world=world, plan=plan, entries=(entry,), before=Before())


def test_it_is_proven_by_what_was_sent_and_ended_by_its_undo(scene: Scene, load: FakeLoad) -> None:
    STEP.fire(scene.world, scene.entries[0])
    load.sent = 100

    assert ArrivalsRaised().look(scene).seen == "yes"
    assert LoadEnded().look(scene).seen == "no"
    assert STEP.end(scene.world, scene.entries[0], within_seconds=1) == "the load beside was ended"
    assert not load.living
    assert LoadEnded().look(scene).seen == "yes"
    assert STEP.end(scene.world, scene.entries[0], within_seconds=1) == "no load beside runs"


@pytest.mark.parametrize(
    ("sent", "every_seconds", "living"),
    [(0, 0.1, True), (20, 1 / RATE, True), (30, 0.25, True), (100, 1 / RATE, False)],
    ids=["nothing-yet", "too-short", "too-few", "dead"],
)
def test_too_little_is_no_surge(
    scene: Scene, load: FakeLoad, sent: int, every_seconds: float, living: bool
) -> None:
    STEP.fire(scene.world, scene.entries[0])
    load.sent, load.every_seconds, load.living = sent, every_seconds, living

    assert ArrivalsRaised().look(scene).seen == "no"
    beside.end("u-1")


def test_a_sham_sends_nothing(scene: Scene, load: FakeLoad) -> None:
    assert ArrivalsRaised().look(scene).seen == "no"


def test_a_process_that_knows_of_no_loads_has_injected_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_BESIDE", beside._Beside())

    with pytest.raises(FaultNotInjected, match="cannot start loads"):
        STEP.fire(scene.world, scene.entries[0])


def test_a_model_without_engines_is_not_loaded(world: World) -> None:
    word = RatedModel()

    with pytest.raises(HarnessError, match="no engine is Ready"):
        word.spared(world, word.resolve(world, "FLT-LOA-002"))
