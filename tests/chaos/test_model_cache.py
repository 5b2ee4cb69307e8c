"""Copies of the model are spoiled while engines start anew, one after the other."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from hotfire.chaos.model_store import cache_directory
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.cache_refilled import CacheRefilled
from hotfire.chaos.sightings.cache_spoiled import CacheSpoiled
from hotfire.chaos.steps.cache_spoil import CacheSpoil
from hotfire.chaos.targets.engines_in_turn import EnginesInTurn
from hotfire.errors import ClusterError, HarnessError
from tests.chaos.fake_agent import Answers, FakeAgent, told
from tests.chaos.platform import NAMESPACE, Platform
from tests.chaos.scenes import entry, scene
from tests.chaos.test_model_store import ENGINES, fill_engines
from tests.fake_api import Document, FakeApi

WORD, STEP = EnginesInTurn(), CacheSpoil()
NODES = ("n1", "n2", "n3")
CACHE = "/var/lib/models/tiny"
ENDED = 1_700_000_000.5
EARLIER, LATER = ENDED - 10, ENDED + 10


def budget(allowed: int, name: str = "engines") -> Document:
    return {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "vllm"}}},
        "status": {"disruptionsAllowed": allowed},
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _platform(api: FakeApi, platform: Platform) -> None:
    """Engines whose cache is a directory of their node, under a budget; a node without engine."""
    fill_engines(api, platform)
    for name in ENGINES:
        volume = {"name": "model", "hostPath": {"path": CACHE}}
        platform.pod(name)["spec"]["volumes"] = [volume]
    api.put(budget(1))


@pytest.fixture
def plan(world: World) -> Plan:
    return WORD.resolve(world, "FLT-STO-003")


def entry_on_node(**observed: object) -> Answers:
    """Return what an agent tells whose node's copy was spoiled; nothing: it has no entry."""
    told = {"id": "u-1", "op": "file.spoil", "state": "healed", "observed": observed}
    return {"list": lambda name: [told] if observed and name == "n1" else []}


def started(api: FakeApi, platform: Platform, on: str, at: float | None) -> None:
    """Let both engines be replaced, the second one on a node, where it started at a moment."""
    for name in ("engine-1", "engine-2"):
        api.remove(("v1", "pods", NAMESPACE, name))
    platform.add_engine()
    pod = platform.add_engine()
    platform.pod("engine-3")["spec"]["nodeName"] = "n3"
    pod["spec"]["nodeName"] = on
    text = datetime.fromtimestamp(int(at), UTC).isoformat() if at else ""
    running = {"running": {"startedAt": text}} if at else {"waiting": {}}
    pod["status"]["containerStatuses"][0]["state"] = running


def after(world: World, plan: Plan, answers: Answers) -> Scene:
    """Return the fault as it was armed, looked at with these answers."""
    return scene(told(world, answers, NODES), plan)


@pytest.fixture
def replaced(
    world: World, plan: Plan, api: FakeApi, platform: Platform
) -> Callable[[bool | None, float | None], Scene]:
    """The fault after its undo: was the copy repaired, and when did an engine start from it?"""

    def found(repaired: bool | None, at: float | None) -> Scene:
        ended = entry_on_node(spoiled=True, repaired=repaired, healed_at_seconds=ENDED)
        found = after(world, plan, ended)
        started(api, platform, "n1", at)
        return found

    return found


def test_engines_go_in_turn_as_their_budget_says(world: World, plan: Plan, api: FakeApi) -> None:
    assert [(one.kind, one.node) for one in plan.targets] == [
        ("pod", "n1"), ("pod", "n2"), ("node", "n1"), ("node", "n2"), ("node", "n3")
    ]  # fmt: skip
    assert WORD.spared(world, plan) == "PodDisruptionBudget engines lets 1 of 2 go at a time"
    WORD.look_again(world, plan)


@pytest.mark.parametrize("allowed", [0, 2, 3])
def test_a_budget_that_lets_nobody_or_everybody_go_spares_nobody(
    world: World, plan: Plan, api: FakeApi, allowed: int
) -> None:
    api.put(budget(allowed))

    with pytest.raises(HarnessError, match="no PodDisruptionBudget lets some engines go"):
        WORD.spared(world, plan)


def test_nothing_is_fired_at_engines_that_are_not_ready_any_more(
    world: World, plan: Plan, platform: Platform
) -> None:
    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"

    with pytest.raises(HarnessError, match="not Ready any more"):
        WORD.look_again(world, plan)


def test_only_a_node_that_has_a_copy_is_spoiled(world: World, plan: Plan) -> None:
    answers: Answers = {"ping": {}, "file.present": lambda name, **_: {"present": name == "n1"}}
    found = told(world, answers | {"list": []}, NODES)
    STEP.rehearse(found, plan.targets[2])

    for target in plan.targets[2:]:
        STEP.fire(found, entry(target))
        STEP.renew(found, entry(target))

    assert isinstance(found.agent, FakeAgent)
    assert found.agent.fired == [("n1", "file.spoil", {"directory": CACHE})]


def test_a_cache_that_is_no_directory_of_a_node_is_not_known(
    world: World, platform: Platform
) -> None:
    platform.pod("engine-1")["spec"]["volumes"] = [{"name": "model", "emptyDir": {}}]

    with pytest.raises(HarnessError, match="fill fills model, which is no hostPath"):
        cache_directory(world)


@pytest.mark.parametrize(("observed", "seen"), [({"spoiled": True}, "yes"), ({}, "no")])
def test_it_is_spoiled_by_the_agent_s_word_once_the_engines_are_new(
    world: World, plan: Plan, platform: Platform, observed: Answers, seen: str
) -> None:
    found = after(world, plan, entry_on_node(**observed))
    assert CacheSpoiled().look(found).seen == "no"

    started(platform.api, platform, "n1", None)
    assert CacheSpoiled().look(found).seen == seen


def test_where_no_agent_answers_it_is_unknown(world: World, plan: Plan) -> None:
    for word in (CacheSpoiled(), CacheRefilled()):
        with pytest.raises(ClusterError):
            word.look(after(world, plan, {}))


@pytest.mark.parametrize(
    ("repaired", "at", "seen"),
    [(True, EARLIER, "yes"), (None, EARLIER, "no"), (None, None, "no")],
    ids=["refetched", "started-from-it", "not-started"],
)
def test_an_engine_must_not_start_from_a_spoiled_copy(
    replaced: Callable[[bool | None, float | None], Scene],
    repaired: bool | None,
    at: float | None,
    seen: str,
) -> None:
    assert CacheRefilled().look(replaced(repaired, at)).seen == seen


def test_engines_that_did_not_meet_a_spoiled_copy_prove_nothing(
    world: World, plan: Plan, api: FakeApi, platform: Platform
) -> None:
    spoiled = entry_on_node(spoiled=True, healed_at_seconds=ENDED)
    found = after(world, plan, spoiled)
    started(api, platform, "n2", EARLIER)
    with pytest.raises(HarnessError, match="spoiled were n1, but engines started on n2, n3"):
        CacheRefilled().look(found)

    platform.pod("engine-4")["spec"]["nodeName"] = "n1"
    running = {"running": {"startedAt": datetime.fromtimestamp(int(LATER), UTC).isoformat()}}
    platform.pod("engine-4")["status"]["containerStatuses"][0]["state"] = running
    with pytest.raises(HarnessError, match="started only after we had put the copy of n1 back"):
        CacheRefilled().look(found)


def test_a_sham_spoils_nothing_and_leaves_nothing(world: World, plan: Plan) -> None:
    assert CacheRefilled().look(after(world, plan, entry_on_node())).seen == "yes"
