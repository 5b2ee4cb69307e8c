"""A pod without limits takes a node's memory: who has to go, who stays, and what is left behind."""

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.memory_pressed import MemoryPressed
from hotfire.chaos.sightings.pressure_over import PressureOver
from hotfire.chaos.steps.memory_take import MemoryTake
from hotfire.chaos.targets.node_of_engine import NodeOfEngine
from hotfire.errors import FaultNotInjected, HarnessError
from tests.chaos.fake_agent import told
from tests.chaos.platform import SYSTEM, Platform
from tests.chaos.scenes import entry, scene
from tests.fake_api import Document, FakeApi

STEP = MemoryTake(free_mebibytes=60, for_seconds=120)
MEBIBYTE = 1 << 20
ROOM = {"total_bytes": 4096 * MEBIBYTE, "free_bytes": 1060 * MEBIBYTE}
PRESSED, OVER = MemoryPressed(), PressureOver()
NAME = "hotfire-n1"
KEY = ("v1", "pods", SYSTEM, NAME)
EVICTED = {"phase": "Failed", "reason": "Evicted"}
KILLED = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137}}}]}
RUNS = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}


def node(status: str) -> Document:
    taint = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}
    conditions = [{"type": "Ready", "status": "True"}]
    conditions += [{"type": "MemoryPressure", "status": status}] if status else []
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u-n1"},
        "spec": {"taints": [taint] if status == "True" else []},
        "status": {"conditions": conditions},
    }  # fmt: skip


@pytest.fixture
def plan(world: World, api: FakeApi, platform: Platform) -> Plan:
    api.put(node("False"))
    return NodeOfEngine().resolve(world, "FLT-NOD-005")


@pytest.fixture
def ready(world: World) -> World:
    """Where the node's agent tells of its memory."""
    return told(world, {"memory.room": ROOM})


def fired(ready: World, plan: Plan) -> Scene:
    """Return the fault after its step."""
    [target] = plan.targets
    written = entry(target, STEP.model_dump(mode="json"))
    STEP.fire(ready, written)
    found = scene(ready, plan)
    return Scene(world=ready, plan=plan, entries=(written,), before=found.before)


def test_a_pod_on_that_node_takes_all_but_a_little(ready: World, plan: Plan, api: FakeApi) -> None:
    fired(ready, plan)

    pod = api.objects[KEY]
    [container] = pod["spec"]["containers"]
    assert pod["spec"]["nodeName"] == "n1"
    assert container["command"][3] == str(1000 * MEBIBYTE)
    assert "resources" not in container
    assert pod["spec"]["activeDeadlineSeconds"] == 120


def test_it_is_of_the_lowest_class_there_is(ready: World, plan: Plan, api: FakeApi) -> None:
    for name, value in (("batch", -10), ("rest", -5), ("serving", 100)):
        metadata = {"name": name}
        kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        api.put({**kind, "metadata": metadata, "value": value})

    assert STEP.spec(ready, plan.targets[0])["priorityClassName"] == "batch"


def test_memory_that_is_short_already_cannot_be_taken(world: World, plan: Plan) -> None:
    short = told(world, {"memory.room": {**ROOM, "free_bytes": 60 * MEBIBYTE}})

    with pytest.raises(HarnessError, match="memory is short already"):
        STEP.require_whole(short, plan.targets[0])


def test_what_an_earlier_fault_left_is_not_fired_over(ready: World, plan: Plan) -> None:
    fired(ready, plan)

    with pytest.raises(HarnessError, match=f"Pod {NAME} is there already"):
        STEP.require_whole(ready, plan.targets[0])
    with pytest.raises(FaultNotInjected, match=NAME):
        STEP.fire(ready, entry(plan.targets[0]))


def test_its_end_deletes_what_is_of_this_fault_and_nothing_else(
    ready: World, plan: Plan, api: FakeApi
) -> None:
    found = fired(ready, plan)
    [written] = found.entries
    other = written.model_copy(update={"id": "u-2"})

    assert "no Pod of this fault" in STEP.end(ready, other, within_seconds=5)
    assert KEY in api.objects
    assert STEP.end(ready, written, within_seconds=5) == f"Pod {NAME} is deleted"
    assert KEY not in api.objects
    assert "no Pod of this fault" in STEP.end(ready, written, within_seconds=5)


def test_the_janitor_may_delete_that_one_and_no_other(plan: Plan) -> None:
    [rule] = STEP.rules(plan.targets[0])

    assert rule == {
        "apiGroups": [""], "resources": ["pods"], "resourceNames": [NAME],
        "verbs": ["get", "delete"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        (("True", EVICTED), "yes"),
        (("True", KILLED), "yes"),
        (("True", RUNS), "no"),
        (("True", None), "no"),
        (("False", EVICTED), "no"),
        (("Unknown", EVICTED), "unknown"),
        (("", EVICTED), "unknown"),
    ],
    ids=["evicted", "killed", "runs", "nobody", "enough", "unheard", "untold"],
)
def test_it_is_pressed_by_its_own_word_once_the_taker_had_to_go(
    ready: World, plan: Plan, api: FakeApi, state: tuple[str, Document | None], seen: str
) -> None:
    found, (condition, status) = fired(ready, plan), state
    api.put(node(condition))
    if status is None:
        api.remove(KEY)
    else:
        api.objects[KEY]["status"] = status

    assert PRESSED.look(found).seen == seen


@pytest.mark.parametrize(
    ("condition", "seen"), [("False", "yes"), ("True", "no"), ("Unknown", "unknown")]
)
def test_it_is_over_by_the_same_word(
    ready: World, plan: Plan, api: FakeApi, condition: str, seen: str
) -> None:
    found = scene(ready, plan)
    api.put(node(condition))

    assert OVER.look(found).seen == seen


def test_it_is_not_over_where_an_engine_had_to_go_or_to_start_anew(
    ready: World, plan: Plan, platform: Platform
) -> None:
    found = scene(ready, plan)

    platform.pod("engine-2")["status"]["containerStatuses"][0]["restartCount"] = 1
    assert OVER.look(found).seen == "no"

    platform.pod("engine-2")["status"]["containerStatuses"][0]["restartCount"] = 0
    platform.pod("engine-1")["status"]["phase"] = "Failed"
    assert OVER.look(found).seen == "no"
