"""The model store is lost to every node, while one engine has to start."""

import pytest

from hotfire.chaos.fault import Fault
from hotfire.chaos.model_store import store_address
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sightings.store_away import StoreAway
from hotfire.chaos.sightings.store_back import StoreBack
from hotfire.chaos.steps.store_block import StoreBlock
from hotfire.chaos.targets.engine_and_accelerator_nodes import EngineAndAcceleratorNodes
from hotfire.errors import ClusterError, HarnessError
from tests.chaos.fake_agent import Answers, FakeAgent, told
from tests.chaos.platform import KILL, Platform
from tests.chaos.scenes import entry, scene, unnoted
from tests.chaos.test_node_faults import node
from tests.fake_api import FakeApi

WORD = EngineAndAcceleratorNodes()
NODES, ENGINES = ("n1", "n2", "n3"), ("engine-1", "engine-2")
LABEL = {"nvidia.com/gpu.present": "true"}
URL = "http://10.0.0.9:8080/models/tiny"
OPENED: Answers = {"net.connect": {"reason": ""}}
SHUT: Answers = {"net.connect": {"reason": "no answer"}}
FAULT = Fault.model_validate(
    KILL.model_dump()
    | {
        "id": "FLT-STO-001",
        "targets": {"word": "engine-and-accelerator-nodes"},
        "steps": [{"word": "store-block"}, {"word": "evict"}],
        "seen": {"word": "store-away"},
        "gone": {"word": "store-back"},
    }
)


@pytest.fixture(autouse=True)
def _platform(api: FakeApi, platform: Platform) -> None:
    """Engines whose cache an init container fills, and a node without an engine."""
    fill_engines(api, platform)


def fill_engines(api: FakeApi, platform: Platform) -> None:
    """Let an init container fill each engine's cache; three nodes have accelerators."""
    for name in NODES:
        found = node(name)
        found["metadata"]["labels"] = LABEL
        api.put(found)
    for name in ENGINES:
        filled(platform, name)


def filled(platform: Platform, name: str, url: str = URL) -> None:
    reads = {"name": "model", "mountPath": "/models", "readOnly": True}
    writes = {"name": "model", "mountPath": "/models"}
    platform.pod(name)["spec"] |= {
        "containers": [{"name": "vllm", "volumeMounts": [reads]}],
        "initContainers": [{"name": "fill", "args": [url, "/models"], "volumeMounts": [writes]}],
    }


@pytest.fixture
def plan(world: World) -> Plan:
    return WORD.resolve(world, "FLT-STO-001")


def test_the_engine_is_evicted_and_every_node_is_cut_off(plan: Plan) -> None:
    shots = [(step.word, target.kind, target.node) for step, target in FAULT.shots(plan.targets)]

    blocked = [("store-block", "node", name) for name in NODES]
    assert shots == [*blocked, ("evict", "pod", "n1")]
    assert [one.name for one in plan.bystanders] == ["engine-2"]
    assert plan.at_most == 4


def test_the_other_engines_must_serve(world: World, plan: Plan, platform: Platform) -> None:
    assert "behind a Service" in WORD.spared(world, plan)
    WORD.look_again(world, plan)

    platform.pod("engine-2")["status"]["conditions"][0]["status"] = "False"
    with pytest.raises(HarnessError, match="survivors are not Ready"):
        WORD.look_again(world, plan)


def test_an_engine_on_a_node_that_nobody_named_is_no_target(
    world: World, api: FakeApi, platform: Platform
) -> None:
    api.objects["v1", "nodes", "", "n2"]["metadata"]["labels"] = {}

    with pytest.raises(HarnessError, match=r"engines run on n2, which accelerator\.node_selector"):
        WORD.resolve(world, "FLT-STO-001")


def test_packets_between_the_node_and_the_store_are_dropped(world: World, plan: Plan) -> None:
    found, target = told(world, {"ping": {}}, NODES), plan.targets[1]
    StoreBlock().rehearse(found, target)

    StoreBlock().fire(found, entry(target))

    assert isinstance(found.agent, FakeAgent)
    order = {"between": [], "and": ["10.0.0.9"], "port": 8080}
    assert found.agent.fired == [("n1", "net.block", order)]


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://store.example/x", "only an IPv4 address"), ("/mnt/models", "names no URL")],
)
def test_a_store_that_packets_do_not_tell_is_not_blocked(
    world: World, platform: Platform, url: str, why: str
) -> None:
    filled(platform, "engine-1", url)

    with pytest.raises(HarnessError, match=why):
        store_address(world)


def test_without_a_filler_the_store_is_not_known(world: World, platform: Platform) -> None:
    del platform.pod("engine-1")["spec"]["initContainers"]

    with pytest.raises(HarnessError, match="which store fills the cache is not known"):
        store_address(world)


@pytest.mark.parametrize(
    ("state", "seen"), [((SHUT, False), "no"), ((SHUT, True), "yes"), ((OPENED, True), "no")]
)
def test_it_is_away_when_no_node_connects_and_an_engine_has_to_start(
    world: World, plan: Plan, platform: Platform, state: tuple[Answers, bool], seen: str
) -> None:
    found = scene(told(world, OPENED), plan, StoreAway())
    answers, evicted = state
    if evicted:
        platform.api.remove(("v1", "pods", "hotfire-stack", "engine-1"))
        platform.add_engine(ready=False)

    assert isinstance(found.world.agent, FakeAgent)
    found.world.agent.answers = answers
    assert StoreAway().look(found).seen == seen


def test_it_is_unknown_where_no_agent_answers_or_nobody_noted_the_store(
    world: World, plan: Plan
) -> None:
    found = scene(told(world, OPENED), plan, StoreAway())
    with pytest.raises(HarnessError, match="nobody noted where the model store is"):
        StoreAway().look(unnoted(found))

    assert isinstance(found.world.agent, FakeAgent)
    found.world.agent.answers = {}
    for word in (StoreAway(), StoreBack()):
        with pytest.raises(ClusterError):
            word.look(found)


def test_a_store_that_is_away_already_cannot_be_taken_away(world: World, plan: Plan) -> None:
    with pytest.raises(HarnessError, match="n1 does not reach the store already"):
        StoreAway().note(told(world, SHUT), plan)


def test_it_is_back_when_every_node_connects_and_all_engines_are_ready(
    world: World, plan: Plan, platform: Platform
) -> None:
    found = scene(told(world, OPENED), plan, StoreAway())
    assert StoreBack().look(found).seen == "yes"

    platform.pod("engine-1")["status"]["conditions"][0]["status"] = "False"
    assert StoreBack().look(found).seen == "no"

    assert isinstance(found.world.agent, FakeAgent)
    found.world.agent.answers = SHUT
    assert StoreBack().look(found).seen == "no"
