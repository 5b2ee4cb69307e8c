"""Who is hit by faults of the network, and what must be left on every node concerned."""

from typing import Any

import pytest

from hotfire.chaos.blast import prove
from hotfire.chaos.fault import Fault
from hotfire.chaos.plan import World
from hotfire.chaos.targets.engine_nodes import EngineNodes
from hotfire.chaos.targets.every_node import EveryNode
from hotfire.chaos.targets.same_uplink_of_every_engine_node import SameUplinkOfEveryEngineNode
from hotfire.chaos.undo import Undo, UndoEntry, config_map
from hotfire.errors import HarnessError
from tests.chaos.fake_agent import UP, WHOLE, Answers, FakeAgent, told
from tests.chaos.platform import KILL, SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import FakeApi

NODES = ("n1", "n2", "n3")
FAULT = "FLT-NET-005"
TOR = Fault.model_validate(
    KILL.model_dump()
    | {
        "id": FAULT,
        "targets": {"word": "same-uplink-of-every-engine-node"},
        "steps": [{"word": "link-loss"}],
        "seen": {"word": "link-lossy"},
        "gone": {"word": "link-whole"},
    }
)
QUIET: Answers = {"link.state": WHOLE, "ping": {}, "list": []}


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Every case needs the engines to be there."""


def test_the_same_link_is_hit_on_each_node_with_an_engine(world: World) -> None:
    plan = SameUplinkOfEveryEngineNode().resolve(told(world, QUIET, NODES), FAULT)

    assert [(one.node, one.link) for one in plan.targets] == [("n1", "up1"), ("n2", "up1")]
    assert plan.at_most == 2


def test_every_node_must_keep_another_uplink(world: World) -> None:
    def answer(node: str, **_: object) -> Any:  # noqa: ANN401 - JSON
        return {**WHOLE, "bfd": [{**UP, "state": "Down" if node == "n2" else "Up"}]}

    found = told(world, QUIET | {"link.state": answer}, NODES)
    plan = SameUplinkOfEveryEngineNode().resolve(found, FAULT)

    with pytest.raises(HarnessError, match="node n2 would keep no link"):
        SameUplinkOfEveryEngineNode().spared(found, plan)


def test_a_node_with_one_uplink_is_never_cut_off(world: World) -> None:
    found = told(world, QUIET, NODES)
    found.profile.fabric.uplinks.remove("up2")

    with pytest.raises(HarnessError, match=r"needs 2 links in fabric\.uplinks"):
        SameUplinkOfEveryEngineNode().resolve(found, FAULT)


def test_an_engine_that_came_to_another_node_since_cancels(
    world: World, platform: Platform
) -> None:
    found, word = told(world, QUIET, NODES), SameUplinkOfEveryEngineNode()
    plan = word.resolve(found, FAULT)
    word.look_again(found, plan)
    platform.add_engine()

    with pytest.raises(HarnessError, match="engines came to n3; nothing was fired"):
        word.look_again(found, plan)


def test_only_nodes_of_targets_are_asked_whether_anything_is_broken(world: World) -> None:
    """A cluster may have thousands of nodes."""
    many = (*NODES, *(f"n{number}" for number in range(4, 5000)))
    found = told(world, QUIET, many)

    prove(found, TOR, TOR.targets.resolve(found, FAULT))

    agent = found.agent
    assert isinstance(agent, FakeAgent)
    assert {node for node, _ in agent.asked} == {"n1", "n2"}
    assert agent.asked.count(("n1", "list")) == 1


def test_an_entry_on_a_node_of_a_target_refuses(world: World) -> None:
    def answer(node: str, **_: object) -> Any:  # noqa: ANN401 - JSON
        return [{"id": "u-9", "op": "link.delay", "state": "injected"}] if node == "n2" else []

    found = told(world, QUIET | {"list": answer}, NODES)

    with pytest.raises(HarnessError, match="node n2 has the open entry u-9"):
        prove(found, TOR, TOR.targets.resolve(found, FAULT))


def test_what_is_broken_on_another_node_is_known_by_its_copy(world: World, api: FakeApi) -> None:
    found = told(world, QUIET, NODES)
    api.put(config_map(elsewhere(), SYSTEM))

    with pytest.raises(HarnessError, match="not healed yet"):
        prove(found, TOR, TOR.targets.resolve(found, FAULT))


def elsewhere() -> UndoEntry:
    undo = Undo(step={"word": "link-loss"})
    target = entry().target.model_copy(update={"node": "n3"})
    return entry("u-7").model_copy(update={"undo": undo, "target": target})


def test_engines_on_the_node_that_is_hit_are_no_survivors(world: World, platform: Platform) -> None:
    platform.pod("engine-2")["spec"]["nodeName"] = "n1"

    with pytest.raises(HarnessError, match="1 engines on others; seen are 1 and 0"):
        EngineNodes().resolve(told(world, QUIET, NODES), FAULT)


def test_a_node_is_hit_and_the_engines_of_others_are_left(world: World) -> None:
    found = told(world, QUIET, NODES)
    plan = EngineNodes().resolve(found, FAULT)

    assert str(plan.targets[0]).startswith("node ")
    assert [one.node for one in plan.targets] == ["n1"]
    assert EngineNodes().spared(found, plan).startswith("survivors, behind a Service")


def test_every_node_is_hit_and_every_engine_must_stay(world: World, platform: Platform) -> None:
    found = told(world, QUIET, NODES)
    plan = EveryNode().resolve(found, FAULT)
    assert ([one.node for one in plan.targets], plan.survivors) == (["n1", "n2", "n3"], 2)

    platform.pod("engine-2")["status"]["phase"] = "Failed"

    with pytest.raises(HarnessError, match="survivors are not Ready any more"):
        EveryNode().look_again(found, plan)
