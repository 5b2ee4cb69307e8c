"""What a link's faults are known by: each sighting says no, and does not know, where it must."""

from typing import Any

import pytest

from hotfire.chaos.fault import Fault
from hotfire.chaos.link_step import LinkStep
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import SightingWord
from hotfire.chaos.sightings.link_carries import LinkCarries
from hotfire.chaos.sightings.link_clean import LinkClean
from hotfire.chaos.sightings.link_down import LinkDown
from hotfire.chaos.sightings.link_echo import LinkEcho, one_way
from hotfire.chaos.sightings.link_flapped import LinkFlapped
from hotfire.chaos.sightings.link_late import LinkLate
from hotfire.chaos.sightings.link_lossy import LinkLossy
from hotfire.chaos.sightings.uplinks_whole import UplinksWhole
from hotfire.chaos.steps import link_down as links_down
from hotfire.chaos.steps.link_delay import LinkDelay
from hotfire.chaos.steps.link_flap import LinkFlap
from hotfire.chaos.steps.link_loss import LinkLoss
from hotfire.chaos.steps.link_mangle import LinkMangle
from hotfire.chaos.steps.link_rate import LinkRate
from hotfire.errors import ClusterError, HarnessError
from tests.chaos.fake_agent import ECHOES, LINK, UP, WHOLE, Answers, FakeAgent, look, scene, told
from tests.chaos.platform import KILL
from tests.chaos.test_undo import entry

DOWN = {**UP, "state": "Down"}
LOST = LinkEcho(of="lost", at_least_percent=1, at_most_percent=3)
FIFTH = LinkEcho(of="lost", at_least_percent=17, at_most_percent=23, both_ways=True)
LATE = LinkLate(at_least_seconds=0.09, at_most_seconds=0.11)
SLOW = LinkCarries(offered_bits_per_second=3e6, at_most_bits_per_second=1.2e6)
FAST = LinkCarries(offered_bits_per_second=3e6, at_least_bits_per_second=2.4e6)
FLAPPED = LinkFlapped(times=10, last_seconds=50)


def state(**changes: object) -> Answers:
    return {"link.state": {**WHOLE, **changes}}


def echoing(**changes: object) -> Answers:
    return {"link.echoes": {**ECHOES, **changes}}


def sending(bits_per_second: float) -> Answers:
    return {"link.probe": {"seconds": 2.0, "passed_bytes": round(bits_per_second / 4)}}


@pytest.mark.parametrize(
    ("word", "answers", "noted"),
    [
        (LinkLossy(), state(drops={"ingress": 3, "egress": 2}, bfd=[DOWN]), None),
        (LinkLossy(direction="in"), state(drops={"ingress": 3}, bfd=[DOWN]), None),
        (LinkDown(), state(carrier=False, bfd=[DOWN]), None),
        (LinkDown(), state(carrier=False, bfd=[]), None),
        (LOST, echoing(lost=40), 0.0),
        (FIFTH, echoing(lost=720), 0.0),
        (LATE, echoing(round_trip_seconds=0.101), 0.001),
        (SLOW, sending(1e6), 3e6),
        (FAST, sending(3e6), None),
        (FLAPPED, state(carrier_changes=22), 2),
        (LinkClean(), state() | echoing(lost=2), None),
        (UplinksWhole(), state(), None),
    ],
)
def test_the_effect_is_seen(
    world: World, word: SightingWord, answers: Answers, noted: object
) -> None:
    assert look(word, world, answers, u=noted).seen == "yes"


@pytest.mark.parametrize(
    ("word", "answers", "noted"),
    [
        (LinkLossy(), state(), None),
        (LinkLossy(), state(drops={"ingress": 3, "egress": 2}), None),
        (LinkLossy(), state(drops={"ingress": 3}, bfd=[DOWN]), None),
        (LinkLossy(), state(drops={"ingress": 3, "egress": 2}, bfd=[DOWN], carrier=False), None),
        (LinkLossy(direction="in"), state(drops={"ingress": 3, "egress": 1}, bfd=[DOWN]), None),
        (LinkDown(), state(), None),
        (LinkDown(), state(carrier=False), None),
        (LOST, echoing(), 0.0),
        (LOST, echoing(lost=100), 0.0),
        (FIFTH, echoing(lost=400), 0.0),
        (LATE, echoing(round_trip_seconds=0.051), 0.001),
        (LATE, echoing(round_trip_seconds=0.101), 0.099),
        (SLOW, sending(3e6), 3e6),
        (FAST, sending(1e6), None),
        (FLAPPED, state(carrier_changes=21), 2),
        (LinkClean(), state() | echoing(lost=20), None),
        (LinkClean(), state() | echoing(round_trip_seconds=None, lost=2000), None),
        (LinkClean(), state(bfd=[DOWN]) | echoing(), None),
        (UplinksWhole(), state(bfd=[DOWN]), None),
    ],
)
def test_what_is_not_the_effect_is_not_taken_for_it(
    world: World, word: SightingWord, answers: Answers, noted: object
) -> None:
    assert look(word, world, answers, u=noted).seen == "no"


@pytest.mark.parametrize(
    "word",
    [LinkLossy(), LinkDown(), LOST, LATE, SLOW, FLAPPED, LinkClean(), UplinksWhole()],
    ids=str,
)
def test_an_agent_that_does_not_answer_is_unknown(world: World, word: SightingWord) -> None:
    with pytest.raises(ClusterError):
        look(word, world, {}, u=2 if word is FLAPPED else 0.001)


@pytest.mark.parametrize("word", [LATE, FLAPPED], ids=str)
def test_without_what_was_before_it_is_unknown(world: World, word: SightingWord) -> None:
    with pytest.raises(HarnessError, match="nobody noted"):
        look(word, world, state() | echoing())


@pytest.mark.parametrize(
    ("word", "answers", "why"),
    [
        (LOST, echoing(lost=12), "lost already"),
        (LATE, echoing(round_trip_seconds=None), "no echo"),
        (SLOW, sending(1.1e6), "carries only"),
    ],
)
def test_nothing_is_fired_where_the_proof_would_prove_nothing(
    world: World, word: SightingWord, answers: Answers, why: str
) -> None:
    plan = Plan(experiment="FLT-NET-001", targets=(LINK,))

    with pytest.raises(HarnessError, match=why):
        word.note(told(world, answers), plan)


def test_one_link_of_several_that_is_not_so_makes_the_whole_no(world: World) -> None:
    other = LINK.model_copy(update={"node": "n2", "uid": "u2"})

    def answer(node: str, **_: object) -> Any:  # noqa: ANN401 - JSON
        return {**WHOLE, "carrier": node != "n1", "bfd": [DOWN] if node == "n1" else [UP]}

    found = LinkDown().look(scene(told(world, {"link.state": answer}), LINK, other))

    assert found.seen == "no"
    assert "agent on n2" in found.words


def test_the_share_of_one_way_follows_from_that_of_both() -> None:
    assert one_way(36.0) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("state_of_link", "why"),
    [
        ({"carrier": False}, "no carrier"),
        ({"drops": {"egress": 1}}, "drop frames already"),
        ({"bfd": [DOWN]}, "BFD is not up"),
    ],
)
def test_a_link_that_is_not_whole_is_not_fired_at(
    world: World, state_of_link: dict[str, object], why: str
) -> None:
    with pytest.raises(HarnessError, match=f"{why}.*nothing was fired"):
        LinkLoss().require_whole(told(world, state(**state_of_link)), LINK)


@pytest.mark.parametrize(
    ("step", "op", "order"),
    [
        (LinkLoss(), "link.silent_loss", {}),
        (LinkLoss(direction="in"), "link.one_way_loss", {"direction": "in"}),
        (LinkLoss(percent=20), "link.packet_loss", {"direction": "both", "ratio": 0.2}),
        (
            LinkLoss(direction="out", percent=2),
            "link.packet_loss",
            {"direction": "out", "ratio": 0.02},
        ),
        (links_down.LinkDown(), "link.carrier_down", {}),
        (LinkDelay(seconds=0.1), "link.delay", {"seconds": 0.1}),
        (LinkRate(bits_per_second=1e6), "link.rate", {"bits_per_second": 1e6}),
        (LinkMangle(how="reorder", percent=2), "link.mangle", {"how": "reorder", "ratio": 0.02}),
        (
            LinkFlap(down_seconds=1, up_seconds=4, times=10),
            "link.flap",
            {"down_seconds": 1, "up_seconds": 4, "times": 10},
        ),
    ],
    ids=str,
)
def test_the_agent_is_ordered_what_the_word_says(
    world: World, step: LinkStep, op: str, order: dict[str, object]
) -> None:
    found = told(world, {})

    fired = step.fire(found, entry().model_copy(update={"target": LINK}))

    assert isinstance(found.agent, FakeAgent)
    assert found.agent.fired == [("n1", op, {"link": "up1", **order})]
    assert fired.source == "agent on n1"


def fault(**changes: object) -> Fault:
    return Fault.model_validate(KILL.model_dump() | changes)


@pytest.mark.parametrize(
    "step",
    [
        {"word": "link-loss", "percent": 0},
        {"word": "link-loss", "percent": 101},
        {"word": "link-loss", "direction": "up"},
        {"word": "link-delay"},
        {"word": "link-mangle", "how": "fold", "percent": 1},
        {"word": "link-flap", "down_seconds": 1, "up_seconds": 1, "times": 0},
    ],
)
def test_a_step_that_makes_no_sense_is_refused_when_it_is_read(step: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        fault(steps=[step])
