"""The engines' arguments are edited without any difference, and put back whoever else did."""

from typing import Any

import pytest

from hotfire.agent.janitor import CHANGED
from hotfire.chaos.plan import World
from hotfire.chaos.steps.engine_arguments import EngineArguments
from hotfire.chaos.targets.component import workload_target
from hotfire.chaos.undo import Undo, UndoEntry
from hotfire.errors import HarnessError
from tests.chaos import scenes
from tests.chaos.platform import NAMESPACE
from tests.fake_api import Document, FakeApi

STEP, GIVEN = EngineArguments(), ["--model=a", "--port=1"]


@pytest.fixture
def workload(api: FakeApi, world: World) -> Document:
    containers = [{"name": "proxy"}, {"name": world.profile.engine.container, "args": GIVEN}]
    return api.put(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "vllm", "namespace": NAMESPACE},
            "spec": {"replicas": 0, "template": {"spec": {"containers": containers}}},
        }
    )


@pytest.fixture
def armed(world: World, workload: Document) -> UndoEntry:
    target = workload_target(workload, "deployments")
    undo = Undo(step=STEP.model_dump(mode="json"), former=STEP.former(world, target))
    return scenes.entry(target).model_copy(update={"undo": undo})


def now(api: FakeApi) -> tuple[list[Any], Any, Document]:
    """Return the arguments of both containers, the object's mark, and the template's metadata."""
    found = api.objects["apps/v1", "deployments", NAMESPACE, "vllm"]
    template = found["spec"]["template"]
    args = [one.get("args") for one in template["spec"]["containers"]]
    mark = (found["metadata"].get("annotations") or {}).get(CHANGED)
    return args, mark, template.get("metadata") or {}


def test_an_option_is_said_twice_and_no_pod_bears_a_mark(
    world: World, armed: UndoEntry, api: FakeApi
) -> None:
    STEP.rehearse(world, armed.target)
    STEP.require_whole(world, armed.target)

    STEP.fire(world, armed)

    assert now(api) == ([None, [*GIVEN, "--port=1"]], armed.id, {})
    with pytest.raises(HarnessError, match="still has the pod template of"):
        STEP.require_whole(world, armed.target)


@pytest.mark.parametrize("reverted", [False, True])
def test_it_is_put_back_and_where_somebody_did_only_the_mark_goes(
    world: World, armed: UndoEntry, api: FakeApi, *, reverted: bool
) -> None:
    STEP.fire(world, armed)
    if reverted:
        found = api.objects["apps/v1", "deployments", NAMESPACE, "vllm"]
        found["spec"]["template"]["spec"]["containers"][1]["args"] = GIVEN

    STEP.end(world, armed, within_seconds=1)

    assert now(api) == ([None, GIVEN], None, {})
