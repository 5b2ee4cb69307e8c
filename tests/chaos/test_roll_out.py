"""A Deployment is rolled out under a mark, seen by its pods, and rolled back as it was."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from hotfire.agent.janitor import CHANGED
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.sightings.rolled_out import RolledOut
from hotfire.chaos.steps.roll_out import RollOut
from hotfire.chaos.targets.engine_workload import EngineWorkload, most_unavailable
from hotfire.errors import ClusterError, Conflict, FaultNotInjected, HarnessError
from tests.chaos import scenes
from tests.chaos.platform import NAMESPACE, Platform
from tests.fake_api import Document, FakeApi

WORD, STEP, LABELS = EngineWorkload(), RollOut(), {"app": "vllm"}


@pytest.fixture
def workload(api: FakeApi, platform: Platform) -> Document:
    """The Deployment of the two engines."""
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "vllm"}]}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}
    return api.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "vllm", "namespace": NAMESPACE, "generation": 1},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": LABELS},
                "template": template, "strategy": strategy,
            },
            "status": {
                "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "observedGeneration": 1,
            },
        }
    )  # fmt: skip


@pytest.fixture
def plan(world: World, workload: Document) -> Plan:
    return WORD.resolve(world, "FLT-CAN-005")


@pytest.fixture
def scene(world: World, plan: Plan) -> Scene:
    """The scene before anything was fired."""
    entry = scenes.entry(plan.targets[0], STEP.model_dump(mode="json"))
    return replace(scenes.scene(world, plan), entries=(entry,))


def now(api: FakeApi) -> Document:
    return api.objects["apps/v1", "deployments", NAMESPACE, "vllm"]


def marked(api: FakeApi, name: str, mark: str) -> None:
    api.objects["v1", "pods", NAMESPACE, name]["metadata"]["annotations"] = {CHANGED: mark}


def test_every_engine_has_to_come_back_and_none_is_spared(world: World, plan: Plan) -> None:
    assert [str(one).split(" (")[0] for one in plan.targets] == [f"workload {NAMESPACE}/vllm"]
    assert (plan.bystanders, plan.ready) == ((), 2)
    assert "keeps 2 of 2 Ready engines" in WORD.spared(world, plan)


@pytest.mark.parametrize(
    ("strategy", "away"),
    [
        ({"type": "Recreate"}, 4),
        ({"rollingUpdate": {"maxUnavailable": 3}}, 3),
        ({"rollingUpdate": {"maxUnavailable": "40%"}}, 1),
        (None, 1),
    ],
)
def test_how_many_go_at_once_is_what_the_strategy_says(
    strategy: Document | None, away: int
) -> None:
    assert most_unavailable({"spec": {"replicas": 4, "strategy": strategy}}) == away


def test_a_strategy_that_leaves_nobody_is_not_tried(world: World, plan: Plan, api: FakeApi) -> None:
    now(api)["spec"]["strategy"] = {"type": "Recreate"}

    with pytest.raises(HarnessError, match="lets 2 of 2 Ready engines go at once"):
        WORD.spared(world, plan)


def test_it_is_over_when_the_last_pod_of_the_former_template_has_gone(
    scene: Scene, api: FakeApi
) -> None:
    STEP.fire(scene.world, scene.entries[0])
    marked(api, "engine-1", "u-1")
    half = RolledOut().look(scene)
    marked(api, "engine-2", "u-1")

    assert (half.seen, RolledOut().look(scene).seen) == ("no", "yes")
    assert "of another template: engine-2" in half.words
    assert RolledOut(back=True).look(scene).seen == "no"


def test_it_is_back_when_no_pod_of_the_fault_is_left(scene: Scene, api: FakeApi) -> None:
    STEP.fire(scene.world, scene.entries[0])
    for name in ("engine-1", "engine-2"):
        marked(api, name, "u-1")
    STEP.end(scene.world, scene.entries[0], within_seconds=1)
    early = RolledOut(back=True).look(scene)
    for name in ("engine-1", "engine-2"):
        api.objects["v1", "pods", NAMESPACE, name]["metadata"]["annotations"] = {}

    assert (early.seen, RolledOut(back=True).look(scene).seen) == ("no", "yes")
    assert now(api)["spec"]["template"]["metadata"]["labels"] == LABELS


@pytest.mark.parametrize("part", ["updatedReplicas", "readyReplicas", "observedGeneration"])
def test_pods_that_are_not_counted_yet_are_not_there(scene: Scene, api: FakeApi, part: str) -> None:
    STEP.fire(scene.world, scene.entries[0])
    for name in ("engine-1", "engine-2"):
        marked(api, name, "u-1")
    now(api)["status"][part] = 0

    assert RolledOut().look(scene).seen == "no"


def test_one_that_is_being_rolled_out_is_left_alone(scene: Scene, api: FakeApi) -> None:
    now(api)["status"]["updatedReplicas"] = 1

    with pytest.raises(HarnessError, match="being rolled out just now"):
        STEP.require_whole(scene.world, scene.plan.targets[0])


def test_a_template_that_was_never_written_is_told_at_once(scene: Scene) -> None:
    with pytest.raises(FaultNotInjected, match="is not changed"):
        RolledOut().look(scene)


def test_whether_it_is_rolled_out_is_unknown_once_it_was_deleted(
    scene: Scene, api: FakeApi
) -> None:
    del api.objects["apps/v1", "deployments", NAMESPACE, "vllm"]

    assert RolledOut().look(scene).seen == "unknown"
    assert "is gone" in STEP.end(scene.world, scene.entries[0], within_seconds=1)


def refusing(times: int, error: ClusterError) -> Callable[..., None]:
    """Return a patch that is refused so many times."""
    left = [error] * times

    def patch(*_: object, **__: object) -> None:
        if left:
            raise left.pop()

    return patch


def test_it_is_written_again_where_its_controller_wrote_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene.world.cluster, "patch", refusing(2, Conflict("409")))

    assert STEP.fire(scene.world, scene.entries[0]).source.startswith("the API server")


def test_a_write_that_is_refused_has_injected_nothing(scene: Scene, api: FakeApi) -> None:
    api.refuse["PATCH deployments"] = 403

    with pytest.raises(FaultNotInjected, match="was not rolled out"):
        STEP.fire(scene.world, scene.entries[0])
