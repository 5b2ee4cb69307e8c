"""What a target can take is drawn from, and what fails is written so that it can be fired again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.chaos.tenure import tenure
from hotfire.experiment import Experiment, Stage
from hotfire.experiment.exploring.exploration import Finding
from hotfire.experiment.exploring.firing import Firing, candidates, fits, holds
from hotfire.experiment.exploring.order import FOUND, Order
from hotfire.experiment.exploring.schedule import Part, Schedule
from tests.experiment.test_campaign import campaigning
from tests.experiment.test_trial import Stand
from tests.experiment.test_trial import stand as stand  # noqa: PLC0414 - a fixture

ROOT = Path(__file__).parents[2] / "experiments"
KILL, SURGE, NODE = "FLT-POD-001", "FLT-LOA-002", "FLT-NOD-002"
FAULTS = frozenset({KILL, SURGE, NODE, "FLT-NET-007", "FLT-NET-001", "FLT-STO-003"})
BOTH = Schedule(parts=(Part(fault=SURGE), Part(fault=KILL)), hold_seconds=2.0)


@pytest.fixture
def firing(stand: Stand) -> Iterator[Firing]:
    order = Order(seed=5, minutes=1, faults=FAULTS)
    experiments = list(map(Experiment.load, sorted(ROOT.glob("*/*.yaml"))))
    tenant = tenure(stand.world.cluster, stand.profile, stand.run, on_lost=lambda: None)
    with tenant as lease, campaigning(stand.run, stand.profile) as (campaign, _):
        stage = Stage(world=stand.world, run=stand.run, lease=lease)
        known, left_out = candidates(stage, experiments, order)
        assert set(left_out) >= {"FLT-NET-001"}
        seen: dict[str, object] = {}
        yield Firing(
            stage=stage, campaign=campaign, order=order, known=known, record=seen.__setitem__
        )


def test_what_the_target_can_take_is_drawn_from(firing: Firing) -> None:
    assert {KILL, SURGE} <= set(firing.known) <= FAULTS - {"FLT-NET-001"}
    assert holds(firing.known)[KILL].most == 0
    assert fits(firing.known, (KILL, SURGE))
    assert not fits(firing.known, (KILL, "FLT-NET-007"))


def test_what_failed_is_written_as_an_experiment_with_its_story(
    stand: Stand, firing: Firing
) -> None:
    found = Finding(number=4, drawn=BOTH, reason="streams were cut", smallest=BOTH, times=3)

    firing.keep(found)

    written = Experiment.load(stand.run.path(f"{FOUND}/flt-s5-004.yaml"))
    assert written.area == FOUND
    assert "seed 5, as schedule 4" in written.description
    assert "seen to fail 3 times, smaller ones were not all tried" in written.description
