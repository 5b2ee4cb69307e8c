"""Nothing is fired before every condition of the blast radius was shown to hold."""

import pytest

from hotfire.chaos.blast import BlastRadius, Plan, World, prove, resolve, resolve_again
from hotfire.chaos.undo import config_map
from hotfire.errors import HarnessError
from tests.chaos.platform import NAMESPACE, SYSTEM, Platform
from tests.chaos.test_undo import entry
from tests.fake_api import FakeApi

ONE_POD = BlastRadius(kind="Pod", selector="engine")


def plan(world: World) -> Plan:
    return resolve(world, "FLT-POD-001", ONE_POD)


@pytest.fixture(autouse=True)
def _platform(platform: Platform) -> None:
    """Every case needs the engines to be there."""


def test_one_ready_engine_is_the_target_and_the_others_are_bystanders(world: World) -> None:
    found = plan(world)

    assert [one.pod for one in found.targets] == ["engine-1"]
    assert [one.pod for one in found.bystanders] == ["engine-2"]


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


def test_a_disruption_budget_is_kept_although_a_deletion_does_not_ask_it(
    world: World, api: FakeApi
) -> None:
    api.put(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "engines", "namespace": NAMESPACE},
            "spec": {"selector": {"matchLabels": {"app": "vllm"}}},
            "status": {"disruptionsAllowed": 0},
        }
    )

    with pytest.raises(HarnessError, match="PodDisruptionBudget engines allows 0"):
        prove(world, plan(world))


def test_a_survivor_behind_no_service_is_no_survivor(world: World, api: FakeApi) -> None:
    api.objects["discovery.k8s.io/v1", "endpointslices", NAMESPACE, "engine-abc"]["endpoints"] = []

    with pytest.raises(HarnessError, match="behind no Service"):
        prove(world, plan(world))


def test_nothing_is_fired_while_something_else_is_broken(world: World, api: FakeApi) -> None:
    found = plan(world)
    api.put(config_map(entry(), SYSTEM))

    with pytest.raises(HarnessError, match="not healed yet"):
        prove(world, found)


def test_a_pod_recreated_under_its_name_is_not_the_target_any_more(
    world: World, platform: Platform
) -> None:
    target = plan(world).target
    platform.pod("engine-1")["metadata"]["uid"] = "another"

    with pytest.raises(HarnessError, match="now uid another"):
        resolve_again(world.cluster, target)
