"""A node that is not heard of: who is hit, what shows it, and how it ends without our help."""

import time

import pytest

from hotfire.chaos.agent_pods import code_digest
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings.node_ready import NodeReady
from hotfire.chaos.sightings.node_unknown import NodeUnknown
from hotfire.chaos.steps.service_stop import ServiceStop
from hotfire.chaos.targets.node_of_engine import NodeOfEngine
from hotfire.errors import FaultNotInjected, HarnessError
from tests.chaos.platform import Platform, engine_pod
from tests.chaos.scenes import entry, scene
from tests.chaos.scripted_agent import ScriptedAgent, asking
from tests.fake_api import Document, FakeApi

ANSWERS = {"status": 503, "wrote": False, "said": ""}
REFUSES = {"status": None, "wrote": False, "said": "ConnectionRefusedError: refused"}
STOP = ServiceStop(service="kubelet", for_seconds=1.0)


def node(name: str, ready: str = "True") -> Document:
    status = {"conditions": [{"type": "Ready", "status": ready}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


@pytest.fixture(autouse=True)
def _nodes(api: FakeApi, platform: Platform) -> None:
    for name in ("n1", "n2"):
        api.put(node(name))


@pytest.fixture
def plan(world: World) -> Plan:
    return NodeOfEngine().resolve(world, "FLT-NOD-002")


def test_the_target_is_the_node_and_engines_elsewhere_survive(plan: Plan) -> None:
    assert [(one.kind, one.node) for one in plan.targets] == [("node", "n1")]
    assert [one.name for one in plan.bystanders] == ["engine-2"]
    assert plan.ready == 2


def test_a_second_engine_on_the_node_is_no_survivor(world: World, platform: Platform) -> None:
    platform.pod("engine-2")["spec"]["nodeName"] = "n1"

    with pytest.raises(HarnessError, match="2 Ready engines, 0 of them beyond"):
        NodeOfEngine().resolve(world, "FLT-NOD-002")


def test_without_any_engine_no_node_is_a_target(world: World, platform: Platform) -> None:
    for name in ("engine-1", "engine-2"):
        platform.pod(name)["status"]["phase"] = "Failed"

    with pytest.raises(HarnessError, match="0 Ready engines"):
        NodeOfEngine().resolve(world, "FLT-NOD-002")


@pytest.mark.parametrize("status", ["Unknown", "False"])
def test_nothing_is_fired_at_a_node_that_is_not_ready(
    world: World, api: FakeApi, plan: Plan, status: str
) -> None:
    api.objects["v1", "nodes", "", "n1"]["status"]["conditions"][0]["status"] = status

    with pytest.raises(HarnessError, match="not there and Ready; nothing was fired"):
        NodeOfEngine().look_again(world, plan)


def test_nothing_is_fired_at_a_node_that_was_made_anew(
    world: World, api: FakeApi, plan: Plan
) -> None:
    api.remove(("v1", "nodes", "", "n1"))
    api.put(node("n1"))

    with pytest.raises(HarnessError, match="nothing was fired"):
        NodeOfEngine().look_again(world, plan)


@pytest.mark.parametrize(
    ("status", "answer", "seen"),
    [("Unknown", ANSWERS, "yes"), ("Unknown", REFUSES, "no"), ("True", ANSWERS, "no"),
     ("False", ANSWERS, "no")],
)  # fmt: skip
def test_a_node_is_unknown_while_its_engines_answer(
    world: World, api: FakeApi, plan: Plan, status: str, answer: object, seen: str
) -> None:
    api.put(node("n1", status))

    found = NodeUnknown().look(scene(asking(world, engine_ask=answer), plan))

    assert found.seen == seen


@pytest.mark.parametrize(("answer", "seen"), [(ANSWERS, "no"), (REFUSES, "yes")])
def test_a_node_is_dead_when_its_engines_are_as_silent(
    world: World, api: FakeApi, plan: Plan, answer: object, seen: str
) -> None:
    api.put(node("n1", "Unknown"))

    found = NodeUnknown(engines_answer=False).look(scene(asking(world, engine_ask=answer), plan))

    assert found.seen == seen


def test_engines_of_the_node_are_asked_from_another_one(
    world: World, api: FakeApi, plan: Plan
) -> None:
    api.put(node("n1", "Unknown"))
    told = asking(world, engine_ask=ANSWERS)

    NodeUnknown().look(scene(told, plan))

    assert isinstance(told.agent, ScriptedAgent)
    assert {asked[0] for asked in told.agent.asked} == {"n2"}


def test_a_node_whose_engines_left_proves_nothing(
    world: World, api: FakeApi, platform: Platform, plan: Plan
) -> None:
    api.put(node("n1", "Unknown"))
    api.put(engine_pod("engine-1", node="n2"))

    assert NodeUnknown().look(scene(asking(world, engine_ask=ANSWERS), plan)).seen == "no"


def test_life_on_the_node_is_unknown_where_nobody_can_ask(
    world: World, api: FakeApi, plan: Plan
) -> None:
    api.put(node("n1", "Unknown"))

    with pytest.raises(HarnessError, match="did not open"):
        NodeUnknown().look(scene(asking(world), plan))


@pytest.mark.parametrize(("status", "seen"), [("True", "yes"), ("Unknown", "no")])
def test_a_node_is_back_when_it_is_ready_with_its_engines(
    world: World, api: FakeApi, plan: Plan, status: str, seen: str
) -> None:
    api.put(node("n1", status))

    assert NodeReady().look(scene(world, plan)).seen == seen


def test_a_ready_node_without_its_engine_is_not_back(
    world: World, platform: Platform, plan: Plan
) -> None:
    platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"

    assert NodeReady().look(scene(world, plan)).seen == "no"


def test_an_order_that_cuts_its_own_answer_off_counts_as_given(world: World, plan: Plan) -> None:
    fired = STOP.fire(asking(world), entry(plan.targets[0]))

    assert fired.source == "order to the agent on n1"


def test_an_order_that_the_agent_refuses_was_not_fired(world: World, plan: Plan) -> None:
    refusing = asking(world, service_stop=HarnessError("service kubelet does not run here"))

    with pytest.raises(FaultNotInjected, match="does not run here"):
        STOP.fire(refusing, entry(plan.targets[0]))


def test_a_stop_with_its_own_time_is_ordered_for_that_long(world: World, plan: Plan) -> None:
    told = asking(world, service_stop={"id": "u-1", "op": "service.stop", "state": "injected"})

    STOP.fire(told, entry(plan.targets[0]))
    STOP.renew(told, entry(plan.targets[0]))

    assert isinstance(told.agent, ScriptedAgent)
    order = {"id": "u-1", "ttl_seconds": 1.0, "service": "kubelet"}
    assert told.agent.asked == [("n1", "service.stop", order)]


def test_another_service_is_stopped_a_lease_at_a_time(world: World, plan: Plan) -> None:
    told = asking(world, service_stop={"id": "u-1", "op": "service.stop", "state": "injected"})

    ServiceStop(service="bird").fire(told, entry(plan.targets[0]))

    assert isinstance(told.agent, ScriptedAgent)
    lease_seconds = world.profile.agent.lease_seconds
    assert told.agent.asked[-1][2]["ttl_seconds"] == lease_seconds


def test_its_end_waits_for_the_agent_to_come_back(world: World, plan: Plan) -> None:
    told = asking(world, list=[], heal={"problems": []})
    assert isinstance(told.agent, ScriptedAgent)
    began = time.monotonic()

    class Late(dict[str, object]):
        def get(self, key: str, default: object = None) -> object:
            late = key == "ping" and time.monotonic() - began > 0.5
            return {"code": code_digest()} if late else super().get(key, default)

    told.agent.answers = Late(told.agent.answers)

    words = STOP.end(told, entry(plan.targets[0]), within_seconds=5)

    assert words == "node n1 says entry u-1 is undone"
