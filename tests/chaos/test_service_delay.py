"""A proxy before the pods of a Service: who goes through it, how that is seen, and what is left."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.service_later import ServiceLater
from hotfire.chaos.steps.service_delay import ServiceDelay
from hotfire.chaos.targets.service_of_rag_part import ServiceOfRagPart
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.rag import Rag
from tests.chaos.fake_agent import told
from tests.chaos.platform import NAMESPACE, Platform
from tests.chaos.scenes import entry, scene
from tests.fake_api import Document, FakeApi
from tests.meanwhile import meanwhile

STEP, WORD = ServiceDelay(seconds=0.5), ServiceOfRagPart(part="retriever")
LATER = ServiceLater(at_least_seconds=0.45, at_most_seconds=0.55)
OVER = ServiceLater(at_most_seconds=0.1)
LABELS = {"app": "retriever", "tier": "rag"}
PROXY = ("v1", "pods", NAMESPACE, "hotfire-retriever")
SERVICE = ("v1", "services", NAMESPACE, "retriever")


def service(name: str, **spec: object) -> Document:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    ports.append({"name": "dns", "port": 53, "protocol": "UDP"})
    whole = {"selector": LABELS, "clusterIP": "10.96.0.7", "ports": ports, **spec}
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": whole}


def pod(name: str, **status: object) -> Document:
    ports = [{"name": "http", "containerPort": 8000}]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**LABELS, "hash": "1"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "retriever", "ports": ports}]},
        "status": {**ready, "podIP": "10.0.0.9", **status},
    }


@pytest.fixture
def ground(world: World, api: FakeApi, platform: Platform) -> World:
    """A retriever behind a Service; a headless one beside it, and one of somebody else."""
    del platform
    for one in (
        service("retriever"),
        service("peers", clusterIP="None"),
        service("other", selector={"app": "other"}),
        service("outside", selector=None),
        pod("retriever-1"),
    ):
        api.put(one)
    return with_rag(world)


def with_rag(world: World) -> World:
    document = {"gateway": {"url": "http://127.0.0.1:1"}, "parts": {"retriever": LABELS}}
    profile = world.profile.model_copy(update={"rag": Rag.model_validate(document)})
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


@pytest.fixture
def plan(ground: World) -> Plan:
    return WORD.resolve(ground, "FLT-DEP-002")


@contextmanager
def kubelet(api: FakeApi) -> Iterator[None]:
    """Have the proxy's pod Ready as soon as it is there."""

    def work() -> None:
        with api.lock:
            if (found := api.objects.get(PROXY)) is not None:
                found["status"] = pod("x")["status"]

    with meanwhile(work):
        yield


def fired(ground: World, plan: Plan, api: FakeApi) -> Scene:
    """Return the fault after its step."""
    [target] = plan.targets
    written = entry(target, STEP.model_dump(mode="json"))
    undo = written.undo.model_copy(update={"former": STEP.former(ground, target)})
    written = written.model_copy(update={"undo": undo})
    STEP.require_whole(ground, target)
    with kubelet(api):
        STEP.fire(ground, written)
    return Scene(world=ground, plan=plan, entries=(written,), before=scene(ground, plan).before)


def test_its_target_is_the_service_with_an_address(plan: Plan) -> None:
    assert [(one.kind, one.name, one.node) for one in plan.targets] == [
        ("service", "retriever", "n1")
    ]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]


@pytest.mark.parametrize("selector", [LABELS, {"app": "elsewhere"}])
def test_there_has_to_be_one_service(ground: World, api: FakeApi, selector: dict[str, str]) -> None:
    name = "second" if selector == LABELS else "retriever"
    api.put(service(name, selector=selector))

    with pytest.raises(HarnessError, match="one Service of hotfire-stack"):
        WORD.resolve(ground, "FLT-DEP-002")


def test_the_service_leads_to_the_proxy_alone(ground: World, plan: Plan, api: FakeApi) -> None:
    STEP.rehearse(ground, plan.targets[0])

    fired(ground, plan, api)

    proxy = api.objects[PROXY]
    [container] = proxy["spec"]["containers"]
    assert container["command"][3:] == ["0.5", "10.0.0.9", "8000"]
    assert container["ports"] == [{"containerPort": 8000, "name": "http"}]
    assert api.objects[SERVICE]["spec"]["selector"].items() <= proxy["metadata"]["labels"].items()
    assert api.objects[SERVICE]["spec"]["selector"].keys().isdisjoint(LABELS)


def test_its_end_puts_the_selector_back_and_removes_the_proxy(
    ground: World, plan: Plan, api: FakeApi
) -> None:
    [written] = fired(ground, plan, api).entries

    STEP.end(ground, written.model_copy(update={"id": "u-2"}), within_seconds=5)
    assert PROXY in api.objects
    for _ in range(2):
        STEP.end(ground, written, within_seconds=5)

    assert api.objects[SERVICE]["spec"]["selector"] == LABELS
    assert PROXY not in api.objects


def test_a_service_without_a_pod_that_serves_is_left_alone(
    ground: World, plan: Plan, api: FakeApi
) -> None:
    api.put(pod("retriever-1", conditions=[]))

    with pytest.raises(HarnessError, match="no pod behind Service retriever serves"):
        STEP.rehearse(ground, plan.targets[0])
    assert PROXY not in api.objects


def test_a_proxy_that_does_not_get_ready_changes_no_service(
    ground: World, plan: Plan, api: FakeApi
) -> None:
    waits = ground.profile.waits.model_copy(update={"pod_ready_seconds": 0.1})
    profile = ground.profile.model_copy(update={"waits": waits})
    impatient = World(cluster=ground.cluster, agent=ground.agent, profile=profile)

    with pytest.raises(FaultNotInjected, match="hotfire-retriever Ready"):
        STEP.fire(impatient, entry(plan.targets[0], STEP.model_dump(mode="json")))
    assert api.objects[SERVICE]["spec"]["selector"] == LABELS


def test_what_an_earlier_fault_left_is_not_fired_over(
    ground: World, plan: Plan, api: FakeApi
) -> None:
    fired(ground, plan, api)
    api.remove(PROXY)

    with pytest.raises(HarnessError, match="was not put back"):
        STEP.require_whole(ground, plan.targets[0])


def test_the_janitor_may_put_back_both_and_no_other(plan: Plan) -> None:
    assert STEP.rules(plan.targets[0]) == [
        {
            "apiGroups": [""], "resources": ["pods"], "resourceNames": ["hotfire-retriever"],
            "verbs": ["get", "delete"],
        },
        {
            "apiGroups": [""], "resources": ["services"], "resourceNames": ["retriever"],
            "verbs": ["get", "patch"],
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "late", "over"),
    [(0.5, "yes", "no"), (0.01, "no", "yes"), (0.7, "no", "no"), (-0.2, "no", "yes")],
)
def test_it_is_seen_by_how_long_answers_take(
    ground: World, plan: Plan, more: float, late: str, over: str
) -> None:
    took = [0.25, 0.25, 0.25, 0.25, 0.9]
    looked = told(ground, {"net.answers": {"seconds": took}})
    found = scene(looked, plan, LATER)
    later = told(ground, {"net.answers": {"seconds": [one + more for one in took]}})
    now = Scene(world=later, plan=plan, entries=found.entries, before=found.before)

    assert LATER.look(now).seen == late
    assert OVER.look(now).seen == over


def test_without_a_look_before_nobody_knows(ground: World, plan: Plan) -> None:
    answers = told(ground, {"net.answers": {"seconds": [0.5]}})

    with pytest.raises(HarnessError, match="nobody noted"):
        LATER.look(scene(answers, plan))
