"""Nothing is fired before every condition of the blast radius was shown to hold."""

from collections.abc import Callable

import pytest

from hotfire.chaos import blast
from hotfire.chaos.blast import resolve
from hotfire.chaos.plan import Plan, World, resolve_again
from hotfire.chaos.undo import config_map
from hotfire.errors import HarnessError
from tests.chaos.platform import KILL, NAMESPACE, SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import Document, FakeApi


def plan(world: World) -> Plan:
    return resolve(world, KILL)


def prove(world: World, plan: Plan) -> list[blast.Proof]:
    return blast.prove(world, KILL, plan)


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Every case needs the engines to be there."""


def test_one_ready_engine_is_the_target_and_the_others_are_bystanders(world: World) -> None:
    found = plan(world)

    assert [one.name for one in found.targets] == ["engine-1"]
    assert [one.name for one in found.bystanders] == ["engine-2"]


def test_an_engine_that_was_restarted_is_spared_while_there_is_another(
    world: World, platform: Platform
) -> None:
    platform.pod("engine-1")["status"]["containerStatuses"][0]["restartCount"] = 1

    assert [one.name for one in plan(world).targets] == ["engine-2"]


def test_a_proven_radius_says_what_was_shown(world: World) -> None:
    proofs = prove(world, plan(world))

    assert [one.name for one in proofs] == [
        "size",
        "allowed namespaces",
        "writes accepted",
        "capacity left",
        "nothing else broken",
    ]


def test_proving_changes_nothing(world: World, api: FakeApi) -> None:
    prove(world, plan(world))

    assert api.names("pods") == ["engine-1", "engine-2"]


def test_the_last_engine_is_never_a_target(world: World, platform: Platform) -> None:
    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"

    with pytest.raises(HarnessError, match=r"needs 2 .* 1 Ready"):
        plan(world)


def test_a_namespace_that_is_not_allowed_is_refused(world: World) -> None:
    strict = world.profile.model_copy(update={"allowed_namespaces": ["another"]})
    elsewhere = World(cluster=world.cluster, agent=world.agent, profile=strict)

    with pytest.raises(HarnessError, match=f"{NAMESPACE} is not in allowed_namespaces"):
        prove(elsewhere, plan(elsewhere))


def test_a_write_the_server_would_refuse_is_found_before_firing(world: World, api: FakeApi) -> None:
    api.refuse["DELETE pods"] = 403

    with pytest.raises(HarnessError, match=r"refused, writes accepted.*403"):
        prove(world, plan(world))


def budget(selector: Document | None, **status: int) -> Document:
    """Return a disruption budget of the engines' namespace."""
    spec = {"maxUnavailable": 0} if selector is None else {"selector": selector}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "other", "namespace": NAMESPACE},
        "spec": spec,
        "status": status,
    }


def matching(operator: str, *values: str) -> Document:
    return {"matchExpressions": [{"key": "app", "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    "selector",
    [{}, {"matchLabels": {"app": "vllm"}}, matching("In", "vllm", "x"), matching("NotIn", "x")],
)
def test_a_disruption_budget_is_kept_although_a_deletion_does_not_ask_it(
    world: World, api: FakeApi, selector: Document
) -> None:
    api.put(budget(selector, disruptionsAllowed=0))

    with pytest.raises(HarnessError, match="PodDisruptionBudget other allows 0"):
        prove(world, plan(world))


@pytest.mark.parametrize(
    "selector",
    [
        None,
        {"matchLabels": {"app": "postgres"}},
        {"matchLabels": {"app": "vllm", "role": "decode"}},
        matching("In", "postgres"),
        matching("NotIn", "vllm"),
        {**matching("Exists"), "matchLabels": {"role": "decode"}},
    ],
)
def test_a_disruption_budget_of_others_is_none_of_ours(
    world: World, api: FakeApi, selector: Document | None
) -> None:
    api.put(budget(selector, disruptionsAllowed=0))

    assert prove(world, plan(world))


def test_a_disruption_budget_that_nobody_counted_yet_allows_nothing(
    world: World, api: FakeApi
) -> None:
    api.put(budget({}))

    with pytest.raises(HarnessError, match="allows 0"):
        prove(world, plan(world))


def endpoints(api: FakeApi) -> list[Document]:
    """Return the engine Service's endpoints, to be changed."""
    key = ("discovery.k8s.io/v1", "endpointslices", NAMESPACE, "engine-abc")
    found: list[Document] = api.objects[key]["endpoints"]
    return found


def without_service(api: FakeApi) -> None:
    del api.objects["discovery.k8s.io/v1", "endpointslices", NAMESPACE, "engine-abc"]


def pool(selector: Document | None) -> Document:
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "pool", "namespace": NAMESPACE},
        "spec": {"selector": selector},
    }


def test_a_survivor_behind_no_service_is_no_survivor(world: World, api: FakeApi) -> None:
    endpoints(api).clear()

    with pytest.raises(HarnessError, match="behind no Service"):
        prove(world, plan(world))


def test_a_service_that_leads_to_the_target_alone_leaves_no_survivor(
    world: World, api: FakeApi
) -> None:
    del endpoints(api)[1]

    with pytest.raises(HarnessError, match=r"engine-2; engines are reached by Service engine"):
        prove(world, plan(world))


def test_a_service_that_selects_the_survivors_must_lead_to_them(world: World, api: FakeApi) -> None:
    without_service(api)
    metadata = {"name": "engine", "namespace": NAMESPACE}
    spec = {"selector": {"app": "vllm"}}
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})

    with pytest.raises(HarnessError, match="reached by Service engine"):
        prove(world, plan(world))


@pytest.mark.parametrize("selector", [{"matchLabels": {"app": "vllm"}}, matching("In", "vllm")])
def test_an_inference_pool_makes_survivors_reachable(
    world: World, api: FakeApi, selector: Document
) -> None:
    endpoints(api).clear()
    api.put(pool(selector))

    told = {one.name: one.detail for one in prove(world, plan(world))}
    assert told["capacity left"].startswith("survivors, in InferencePool pool: ")


@pytest.mark.parametrize("selector", [None, {"matchLabels": {"app": "another"}}])
def test_the_pool_of_another_model_reaches_nobody_here(
    world: World, api: FakeApi, selector: Document | None
) -> None:
    endpoints(api).clear()
    api.put(pool(selector))

    with pytest.raises(HarnessError, match="in no InferencePool"):
        prove(world, plan(world))


def test_a_pool_that_leads_to_the_target_alone_leaves_no_survivor(
    world: World, api: FakeApi, platform: Platform
) -> None:
    without_service(api)
    platform.pod("engine-1")["metadata"]["labels"]["track"] = "a"
    api.put(pool({"matchLabels": {"track": "a"}}))

    with pytest.raises(HarnessError, match="reached by InferencePool pool"):
        prove(world, plan(world))


def test_where_nothing_leads_to_any_engine_their_readiness_must_do(
    world: World, api: FakeApi
) -> None:
    without_service(api)

    told = {one.name: one.detail for one in prove(world, plan(world))}
    assert "no Service and no InferencePool" in told["capacity left"]


def ending(pod: Document) -> None:
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def evicted(pod: Document) -> None:
    # The kubelet that evicted it may be gone before it takes the condition back.
    pod["status"] |= {"phase": "Failed", "reason": "Evicted"}


@pytest.mark.parametrize("change", [ending, evicted])
def test_a_pod_that_ends_is_neither_target_nor_survivor(
    world: World, platform: Platform, change: Callable[[Document], None]
) -> None:
    change(platform.pod("engine-1"))
    with pytest.raises(HarnessError, match=r"needs 2 .* 1 Ready"):
        plan(world)

    platform.add_engine()
    found = plan(world)
    assert (found.targets[0].name, found.bystanders[0].name) == ("engine-2", "engine-3")


@pytest.mark.parametrize("change", [ending, evicted])
def test_a_survivor_that_ended_since_the_plan_is_no_survivor(
    world: World, platform: Platform, change: Callable[[Document], None]
) -> None:
    found = plan(world)
    change(platform.pod("engine-2"))

    with pytest.raises(HarnessError, match=r"survivors are not Ready any more: .*engine-2"):
        prove(world, found)


def test_a_target_that_restarted_since_the_plan_is_not_fired_at(
    world: World, platform: Platform
) -> None:
    target = plan(world).targets[0]
    platform.pod("engine-1")["status"]["containerStatuses"][0]["containerID"] = "containerd://new"

    with pytest.raises(HarnessError, match="was restarted since; nothing was fired"):
        resolve_again(world.cluster, target)


def test_nothing_is_fired_while_something_else_is_broken(world: World, api: FakeApi) -> None:
    found = plan(world)
    api.put(config_map(entry(), SYSTEM))

    with pytest.raises(HarnessError, match="not healed yet"):
        prove(world, found)


def test_a_pod_recreated_under_its_name_is_not_the_target_any_more(
    world: World, platform: Platform
) -> None:
    target = plan(world).targets[0]
    platform.pod("engine-1")["metadata"]["uid"] = "another"

    with pytest.raises(HarnessError, match="now uid another"):
        resolve_again(world.cluster, target)
