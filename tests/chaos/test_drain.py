"""A node is drained as for its maintenance: budgets are obeyed, and it takes pods again."""

from typing import Any

import pytest

from hotfire.chaos import janitor
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings.node_drained import NodeDrained
from hotfire.chaos.sightings.node_takes_pods import NodeTakesPods
from hotfire.chaos.steps.cordon import Cordon
from hotfire.chaos.steps.drain import Drain
from hotfire.chaos.steps.evict import Evict
from hotfire.chaos.targets.engine_pods import EnginePods
from hotfire.chaos.targets.node_of_engine import NodeOfEngine
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError
from tests.chaos.platform import SYSTEM, Platform, engine_pod
from tests.chaos.scenes import entry, scene, unnoted
from tests.chaos.test_node_faults import node
from tests.fake_api import Document, FakeApi

CORDON, DRAIN = Cordon(), Drain()
OWNER = {"kind": "ReplicaSet", "uid": "r", "controller": True}


def owned(pod: Document, kind: str = "ReplicaSet") -> Document:
    pod["metadata"]["ownerReferences"] = [OWNER | {"kind": kind}]
    return pod


@pytest.fixture(autouse=True)
def _nodes(api: FakeApi, platform: Platform) -> None:
    for name in ("n1", "n2"):
        api.put({**node(name), "spec": {}})
        owned(platform.pod(f"engine-{name[1:]}"))


@pytest.fixture
def plan(world: World) -> Plan:
    return NodeOfEngine().resolve(world, "FLT-NOD-003")


@pytest.fixture
def target(plan: Plan) -> Target:
    return plan.targets[0]


def cordoned(world: World) -> Any:  # noqa: ANN401 - JSON
    found = world.cluster.get("Node", None, "n1")
    assert found is not None
    return found["spec"].get("unschedulable")


def armed(world: World, target: Target) -> UndoEntry:
    undo = Undo(step=CORDON.model_dump(mode="json"), former=CORDON.former(world, target))
    return entry(target).model_copy(update={"undo": undo})


def test_a_node_is_cordoned_and_takes_pods_again(world: World, target: Target) -> None:
    before = armed(world, target)
    CORDON.rehearse(world, target)
    assert not cordoned(world)

    CORDON.fire(world, before)
    assert cordoned(world)

    assert CORDON.end(world, before, within_seconds=1).endswith("takes pods again")
    assert not cordoned(world)


def test_a_node_that_somebody_else_has_cordoned_stays_so(
    world: World, target: Target, api: FakeApi
) -> None:
    api.objects["v1", "nodes", "", "n1"]["spec"]["unschedulable"] = True

    with pytest.raises(HarnessError, match="cordoned already"):
        CORDON.require_whole(world, target)
    assert "was cordoned before" in CORDON.end(world, armed(world, target), within_seconds=1)
    assert cordoned(world)


def test_another_node_under_the_name_is_neither_cordoned_nor_opened(
    world: World, target: Target, api: FakeApi
) -> None:
    before = armed(world, target)
    api.put({**node("n1"), "spec": {}})

    with pytest.raises(FaultNotInjected, match="not there any more"):
        CORDON.fire(world, before)
    assert "is gone" in CORDON.end(world, before, within_seconds=1)


def test_the_janitor_may_patch_that_node_and_nothing_else(world: World, target: Target) -> None:
    role, _ = janitor.bound(world.profile, CORDON.rules(target))

    names = {"resources": ["nodes"], "resourceNames": ["n1"]}
    assert role["rules"] == [{"apiGroups": [""], "verbs": ["get", "patch"], **names}]


def test_everything_leaves_but_what_would_come_back_and_what_is_ours(
    world: World, target: Target, api: FakeApi
) -> None:
    api.put(owned(engine_pod("plugin", node="n1"), "DaemonSet"))
    mirror = engine_pod("proxy", node="n1")
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    api.put(mirror)
    ours = engine_pod("janitor", node="n1")
    ours["metadata"]["namespace"] = SYSTEM
    api.put(ours)

    fired = DRAIN.fire(world, entry(target))

    assert fired.data == {"evicted": 1}
    assert api.names("pods") == ["engine-2", "janitor", "plugin", "proxy"]


def test_a_budget_that_allows_nobody_to_go_is_asked_again(
    world: World, target: Target, api: FakeApi
) -> None:
    refused = "POST evictions"
    api.troubles[refused] = [429, 503]
    api.says[refused] = "it would violate the pod's disruption budget"

    DRAIN.fire(world, entry(target))

    assert api.requests.count(refused) == 3
    assert api.names("pods") == ["engine-2"]


def test_an_eviction_that_is_forbidden_has_injected_nothing(
    world: World, target: Target, api: FakeApi
) -> None:
    api.refuse["POST evictions"] = 403

    with pytest.raises(FaultNotInjected, match="hotfire-stack/engine-1 was not evicted"):
        DRAIN.fire(world, entry(target))
    with pytest.raises(HarnessError):
        DRAIN.rehearse(world, target)


def test_a_pod_of_nobody_or_of_a_foreign_namespace_is_not_drained(
    world: World, target: Target, api: FakeApi, platform: Platform
) -> None:
    del platform.pod("engine-1")["metadata"]["ownerReferences"]
    with pytest.raises(HarnessError, match="nobody owns hotfire-stack/engine-1"):
        DRAIN.rehearse(world, target)

    owned(platform.pod("engine-1"))
    DRAIN.rehearse(world, target)
    foreign = owned(engine_pod("database", node="n1"))
    foreign["metadata"]["namespace"] = "others"
    api.put(foreign)
    with pytest.raises(HarnessError, match="others/database would be evicted"):
        DRAIN.rehearse(world, target)


def test_a_single_pod_is_evicted_if_it_is_still_that_very_pod(world: World, api: FakeApi) -> None:
    whom = EnginePods().resolve(world, "FLT-STO-001").targets[0]
    Evict().rehearse(world, whom)

    Evict().fire(world, entry(whom))

    assert api.names("pods") == ["engine-2"]
    with pytest.raises(FaultNotInjected, match="not there any more"):
        Evict().fire(world, entry(whom))
    with pytest.raises(HarnessError, match="is gone"):
        Evict().rehearse(world, whom)


def test_it_is_drained_when_all_that_were_there_have_left(
    world: World, plan: Plan, api: FakeApi
) -> None:
    found = scene(world, plan, NodeDrained())
    assert NodeDrained().look(found).seen == "no"

    api.objects["v1", "nodes", "", "n1"]["spec"]["unschedulable"] = True
    assert NodeDrained().look(found).seen == "no"

    api.remove(("v1", "pods", "hotfire-stack", "engine-1"))
    # Somebody who tolerates a cordon came later: nobody has to wait for it.
    api.put(owned(engine_pod("late", node="n1")))
    assert NodeDrained().look(found).seen == "yes"


def test_whether_a_node_is_drained_is_unknown_without_it_or_without_a_note(
    world: World, plan: Plan, api: FakeApi
) -> None:
    found = scene(world, plan, NodeDrained())

    with pytest.raises(HarnessError, match="nobody noted what ran on n1"):
        NodeDrained().look(unnoted(found))
    api.remove(("v1", "nodes", "", "n1"))
    assert NodeDrained().look(found).seen == "unknown"


def test_an_empty_node_proves_nothing(world: World, plan: Plan, api: FakeApi) -> None:
    api.remove(("v1", "pods", "hotfire-stack", "engine-1"))

    with pytest.raises(HarnessError, match="nothing on n1 could be evicted"):
        NodeDrained().note(world, plan)


@pytest.mark.parametrize(
    ("unschedulable", "ready", "seen"),
    [(True, "True", "no"), (False, "Unknown", "no"), (False, "True", "yes")],
)
def test_a_node_is_in_use_again_when_it_is_ready_and_open(
    world: World, plan: Plan, api: FakeApi, unschedulable: bool, ready: str, seen: str
) -> None:
    api.put({**node("n1", ready), "spec": {"unschedulable": unschedulable}})

    assert NodeTakesPods().look(scene(world, plan)).seen == seen


def test_a_node_that_is_gone_is_not_in_use_and_one_nobody_sees_is_unknown(
    world: World, plan: Plan, api: FakeApi
) -> None:
    found = scene(world, plan)
    api.remove(("v1", "nodes", "", "n1"))
    assert NodeTakesPods().look(found).seen == "no"

    api.refuse["GET nodes"] = 403
    with pytest.raises(HarnessError):
        NodeTakesPods().look(found)
