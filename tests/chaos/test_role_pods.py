"""One decode pod is taken, and only where another one is left."""

import pytest

from hotfire.chaos.plan import World
from hotfire.chaos.targets.role_pods import RolePods
from hotfire.errors import HarnessError
from hotfire.profile import StackChoice
from tests.chaos.platform import Platform, engine_pod
from tests.fake_api import FakeApi

WORD = RolePods(role="decode")
LABELS = {"app": "decode"}


def decode_pod(api: FakeApi, name: str, *, ready: bool = True, restarts: int = 0) -> None:
    pod = engine_pod(name, node="n1", ready=ready, restarts=restarts)
    pod["metadata"]["labels"] = LABELS
    api.put(pod)


def with_role(world: World) -> World:
    stack = StackChoice(roles={"decode": LABELS})
    profile = world.profile.model_copy(update={"stack": stack})
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


@pytest.mark.usefixtures("platform")
def test_the_pod_that_was_restarted_least_often_is_taken(world: World, api: FakeApi) -> None:
    decode_pod(api, "decode-1", restarts=2)
    decode_pod(api, "decode-2")
    told = with_role(world)

    plan = WORD.resolve(told, "FLT-DIS-001")

    assert [one.name for one in plan.targets] == ["decode-2"]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]
    assert plan.ready == 2
    assert WORD.spared(told, plan) == "survivors of role decode: decode-1"
    WORD.look_again(told, plan)


def test_an_engine_that_has_the_role_is_no_bystander_of_itself(
    world: World, platform: Platform
) -> None:
    engine = platform.pod("engine-1")["metadata"]["labels"]
    profile = world.profile.model_copy(update={"stack": StackChoice(roles={"decode": engine})})
    told = World(cluster=world.cluster, agent=world.agent, profile=profile)

    plan = WORD.resolve(told, "FLT-DIS-001")

    assert [one.name for one in plan.targets] == ["engine-1"]
    assert [one.name for one in plan.bystanders] == ["engine-2"]


@pytest.mark.usefixtures("platform")
def test_the_only_pod_of_its_role_is_not_taken(world: World, api: FakeApi) -> None:
    decode_pod(api, "decode-1")
    decode_pod(api, "decode-2", ready=False)

    with pytest.raises(HarnessError, match=r"needs 2 Ready pods of role decode in .*, there are 1"):
        WORD.resolve(with_role(world), "FLT-DIS-001")


@pytest.mark.usefixtures("platform")
def test_a_survivor_that_is_gone_by_then_stops_it(world: World, api: FakeApi) -> None:
    decode_pod(api, "decode-1")
    decode_pod(api, "decode-2")
    told = with_role(world)
    plan = WORD.resolve(told, "FLT-DIS-001")

    decode_pod(api, "decode-2", ready=False)

    with pytest.raises(HarnessError, match="0 Ready pods of role decode would be left"):
        WORD.look_again(told, plan)


def test_a_role_without_labels_is_asked_for(world: World) -> None:
    with pytest.raises(HarnessError, match=r"set stack\.roles\.decode"):
        WORD.resolve(world, "FLT-DIS-001")
