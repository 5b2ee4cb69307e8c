"""Faults may overlap where no thing is hit twice and enough is left for all of them together."""

import pytest

from hotfire.chaos.overlap import conflict, together
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.each_part import EachPart
from hotfire.chaos.targets.together import Together
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from tests.chaos.platform import Platform
from tests.chaos.scenes import entry, scene

ENGINES = tuple(Target(name=f"e{n}", uid=f"u{n}", node=f"n{n}") for n in (1, 2, 3))
UIDS = tuple(one.uid for one in ENGINES)


def kill(*hit: int, survivors: int = 1, name: str = "KILL") -> Plan:
    return Plan(
        experiment=name,
        at_most=len(hit),
        survivors=survivors,
        targets=tuple(ENGINES[n] for n in hit),
        bystanders=tuple(one for n, one in enumerate(ENGINES) if n not in hit),
        before=UIDS,
        ready=3,
    )


def beside(target: Target, name: str = "BESIDE") -> Plan:
    return Plan(experiment=name, targets=(target,), survivors=3, bystanders=ENGINES, before=UIDS)


def link(node: str, name: str) -> Target:
    return Target(kind="link", name="e1", uid="u1", node=node, link=name)


def test_an_engine_and_its_node_s_uplink_may_be_hit_at_a_time() -> None:
    assert conflict([kill(0), beside(link("n1", "up0"))]) == ""


def test_no_engine_is_hit_twice() -> None:
    device = ENGINES[0].model_copy(update={"kind": "device"})

    assert "would both hit" in conflict([kill(0), beside(device)])


def test_a_node_does_not_lose_both_uplinks() -> None:
    both = [beside(link("n1", "up0"), "A"), beside(link("n1", "up1"), "B")]

    assert conflict(both).startswith("A and B would both hit")


def test_a_node_does_not_lose_an_uplink_and_the_routing_over_the_other() -> None:
    routing = Target(kind="node", name="n1", uid="n1", node="n1")

    assert "would both hit" in conflict([beside(link("n1", "up0")), beside(routing)])


def test_together_they_hit_no_more_engines_than_one_of_them_may() -> None:
    assert "2 engines would be hit" in conflict([kill(0), kill(1)])


def test_the_most_careful_fault_decides_how_many_are_left() -> None:
    assert conflict([kill(0, 1), beside(link("n3", "up0"))]) == ""
    assert "1 engines would be left, and 2" in conflict(
        [kill(0, 1, survivors=2), beside(link("n3", "up0"))]
    )


def test_who_is_hit_by_one_fault_is_no_bystander_of_the_other() -> None:
    plan = together("X", [beside(link("n1", "up0")), kill(0)])

    assert [one.part for one in plan.targets] == [0, 1]
    assert [one.uid for one in plan.bystanders] == ["u2", "u3"]
    assert plan.ready == 3


def test_a_fault_that_takes_the_control_plane_is_never_overlapped(world: World) -> None:
    words = {"word": "together", "parts": [
        {"word": "engine-pods"}, {"word": "control-plane-members", "hit": "all"},
    ]}  # fmt: skip

    with pytest.raises(HarnessError, match="beside control-plane-members"):
        Together.model_validate(words).resolve(world, "X")


def test_the_same_engine_is_refused_when_it_is_resolved(world: World, platform: Platform) -> None:
    del platform
    words = {"word": "together", "parts": [{"word": "engine-pods"}, {"word": "engine-pods"}]}

    with pytest.raises(HarnessError, match="would both hit pod"):
        Together.model_validate(words).resolve(world, "X")


def both(world: World, **more: object) -> tuple[EachPart, Scene]:
    """Return a word that looks for two engines of which one is away, and its scene."""
    word = EachPart.model_validate(
        {"word": "each-part", "parts": [{"word": "engines-ready"}] * 2} | more
    )
    first = Together.model_validate(
        {"word": "together", "parts": [{"word": "engine-pods"}, {"word": "rated-model"}]}
    ).resolve(world, "X")
    wanting = first.parts[1].model_copy(update={"ready": 9})
    plan = first.model_copy(update={"parts": (first.parts[0], wanting)})
    return word, scene(world, plan)


def test_each_part_is_looked_for_by_its_own_plan(world: World, platform: Platform) -> None:
    del platform
    word, found = both(world)

    assert word.look(found).seen == "no"
    assert "of 9 engine pods" in word.look(found).words


def test_what_hotfire_did_not_undo_is_not_blamed_on_the_target(
    world: World, platform: Platform
) -> None:
    del platform
    word, found = both(world, undone_by_us=[1])

    assert word.look(found).seen == "unknown"


def test_steps_are_done_to_the_targets_of_their_own_fault() -> None:
    plan = together("X", [beside(link("n1", "up0")), kill(0)])

    assert {one.target.part for one in map(entry, plan.targets)} == {0, 1}
