"""The model store is slow for every node, while one engine has to start cold."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.slow_start_over import SlowStartOver
from hotfire.chaos.sightings.store_slowed import StoreSlowed
from hotfire.chaos.steps.store_slow import StoreSlow
from hotfire.chaos.targets.engine_and_accelerator_nodes import EngineAndAcceleratorNodes
from hotfire.errors import ClusterError, HarnessError
from tests.chaos.fake_agent import Answers, FakeAgent, told
from tests.chaos.platform import NAMESPACE, Platform
from tests.chaos.scenes import entry, scene
from tests.chaos.test_model_store import NODES, URL, fill_engines
from tests.fake_api import FakeApi

STEP = StoreSlow(percent=10, fetch_seconds=10)
SLOWED = StoreSlowed(at_most_percent=12)
OVER = SlowStartOver(at_least_percent=20)
ENDED = 1_700_000_000.5


@pytest.fixture(autouse=True)
def _platform(api: FakeApi, platform: Platform) -> None:
    """Engines whose cache an init container fills, and a node without an engine."""
    fill_engines(api, platform)


@pytest.fixture
def plan(world: World) -> Plan:
    return EngineAndAcceleratorNodes().resolve(world, "FLT-STO-002")


def slowed(percent: float, *, fired: bool = True, repaired: bool = True) -> Answers:
    """Return what agents tell whose node gets so much; the copy on n1 was spoiled, too."""
    ended = {"healed_at_seconds": ENDED}
    slow = {"id": "u-1", "op": "store.slow", "state": "healed", "observed": ended}
    observed = {"spoiled": True, "repaired": repaired, "healed_at_seconds": ENDED}
    spoil = {"id": "u-0", "op": "file.spoil", "state": "healed", "observed": observed}
    there = {"n1": [spoil, slow]}
    return {
        "list": lambda name: there.get(name, [slow]) if fired else [],
        "store.share": {"percent": percent},
    }


def after(world: World, plan: Plan, answers: Answers) -> Scene:
    """Return the fault as it was armed, with both its entries on each node."""
    found = scene(told(world, answers, NODES), plan)
    spoils = (one.model_copy(update={"id": "u-0"}) for one in found.entries)
    return replace(found, entries=(*spoils, *found.entries))


def started(platform: Platform, *, restarts: int = 0, on: str = "n1", seconds: int = -10) -> None:
    """Let the engine be replaced by one that was restarted so often, so long after the end."""
    platform.api.remove(("v1", "pods", NAMESPACE, "engine-1"))
    pod = platform.add_engine()
    pod["spec"]["nodeName"] = on
    [status] = pod["status"]["containerStatuses"]
    at = datetime.fromtimestamp(int(ENDED) + seconds, UTC).isoformat()
    status |= {"restartCount": restarts, "state": {"running": {"startedAt": at}}}


def test_each_node_is_ordered_to_take_a_share(world: World, plan: Plan) -> None:
    found, target = told(world, {"ping": {}}, NODES), plan.targets[1]
    STEP.rehearse(found, target)

    STEP.fire(found, entry(target))

    assert isinstance(found.agent, FakeAgent)
    order = {"url": URL, "percent": 10, "fetch_seconds": 10}
    assert found.agent.fired == [("n1", "store.slow", order)]


@pytest.mark.parametrize(
    ("answers", "evicted", "seen"),
    [
        (slowed(9.8), True, "yes"),
        (slowed(13.0), True, "no"),
        (slowed(9.8), False, "no"),
        (slowed(9.8, fired=False), True, "no"),
    ],
    ids=["slow", "fast", "no-start", "sham"],
)
def test_it_is_slow_by_measure_while_an_engine_has_to_start(
    world: World, plan: Plan, platform: Platform, answers: Answers, evicted: bool, seen: str
) -> None:
    found = after(world, plan, answers)
    if evicted:
        started(platform)

    assert SLOWED.look(found).seen == seen


def test_where_no_agent_measures_it_is_unknown(
    world: World, plan: Plan, platform: Platform
) -> None:
    found = after(world, plan, {"list": slowed(9)["list"]})
    started(platform)

    for word in (SLOWED, OVER):
        with pytest.raises(ClusterError):
            word.look(found)


@pytest.mark.parametrize(("restarts", "seen"), [(0, "yes"), (1, "no")])
def test_a_slow_start_is_no_reason_for_a_restart(
    world: World, plan: Plan, platform: Platform, restarts: int, seen: str
) -> None:
    found = after(world, plan, slowed(80))
    started(platform, restarts=restarts)

    assert OVER.look(found).seen == seen


def test_an_engine_that_did_not_fetch_has_not_started_slowly(
    world: World, plan: Plan, platform: Platform
) -> None:
    found = after(world, plan, slowed(80, repaired=False))
    started(platform)

    assert OVER.look(found).seen == "no"


def test_a_node_that_never_had_a_copy_is_cold_by_nature(
    world: World, plan: Plan, platform: Platform
) -> None:
    found = after(world, plan, slowed(80))
    started(platform, on="n3")

    assert OVER.look(found).seen == "yes"


def test_a_start_after_the_end_was_no_slow_one(
    world: World, plan: Plan, platform: Platform
) -> None:
    found = after(world, plan, slowed(80))
    started(platform, on="n3", seconds=10)

    with pytest.raises(HarnessError, match="started only after the store was as fast"):
        OVER.look(found)


def test_a_store_that_is_slow_still_is_nobody_s_failure(world: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match=r"n1 gets 9\.0 % of before"):
        OVER.look(after(world, plan, slowed(9.0)))
