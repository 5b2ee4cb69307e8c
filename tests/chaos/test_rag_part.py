"""A part of a RAG application is found by its pods, and is taken away like any other component."""

from typing import cast

import pytest

from fixtures.breaks import Breaks
from fixtures.changes import Changes
from fixtures.rag import Application, Takeaway
from hotfire.chaos.plan import World
from hotfire.chaos.targets.rag_part import RagPart
from hotfire.errors import HarnessError
from hotfire.rag import Rag
from tests.chaos.platform import Platform
from tests.chaos.test_changes import changes, estate, held
from tests.fake_api import Document, FakeApi

__all__ = ["changes", "estate", "held"]

WORD = RagPart(part="vector-store")
LABELS = {"app": "store"}


def owned(kind: str, name: str, api_version: str = "apps/v1") -> list[Document]:
    return [
        {"kind": kind, "name": name, "uid": f"uid-{name}", "apiVersion": api_version}
        | {"controller": True}
    ]


def with_store(world: World, api: FakeApi, **parts: dict[str, str]) -> World:
    namespace = world.profile.namespace
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "store"}]}}
    api.put(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "store", "namespace": namespace, "uid": "uid-store"},
            "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template},
        }
    )
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "store-0",
                "namespace": namespace,
                "labels": LABELS,
                "ownerReferences": owned("StatefulSet", "store"),
            },
            "spec": template["spec"],
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }
    )
    document = {"gateway": {"url": "http://127.0.0.1:1"}, "parts": parts}
    profile = world.profile.model_copy(update={"rag": Rag.model_validate(document)})
    return World(cluster=world.cluster, agent=world.agent, profile=profile)


def test_its_workload_is_the_target_and_every_engine_is_spared(
    world: World, api: FakeApi, platform: Platform
) -> None:
    del platform
    found = with_store(world, api, **{"vector-store": LABELS})

    plan = WORD.resolve(found, "FLT-DEP-003")

    assert [(one.kind, one.resource, one.name) for one in plan.targets] == [
        ("workload", "statefulsets", "store")
    ]
    assert [one.name for one in plan.bystanders] == ["engine-1", "engine-2"]
    WORD.look_again(found, plan)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, r"set rag\.parts\.vector-store"),
        ({"vector-store": {"app": "other"}}, r"rag\.parts\.vector-store takes no pod"),
    ],
)
def test_a_part_that_is_not_told_or_not_there_is_no_target(
    world: World, api: FakeApi, parts: dict[str, dict[str, str]], said: str
) -> None:
    found = with_store(world, api, **parts)

    with pytest.raises(HarnessError, match=said):
        WORD.resolve(found, "FLT-DEP-003")


def test_a_part_that_does_not_go_has_its_replicas_again(
    world: World,
    api: FakeApi,
    changes: Changes,
) -> None:
    found = with_store(world, api, **{"vector-store": LABELS})
    waits = found.profile.waits.model_copy(update={"pod_gone_seconds": 0.01})
    profile = found.profile.model_copy(update={"waits": waits})
    assert profile.rag is not None
    app = Application(
        rag=profile.rag, profile=profile, cluster=world.cluster, record=lambda _: None
    )
    takeaway = Takeaway(application=app, breaks=cast(Breaks, None), changes=changes)

    with (
        pytest.raises(HarnessError, match="the pods of the vector-store gone"),
        takeaway.away("vector-store"),
    ):
        pass

    [store] = [one for key, one in api.objects.items() if key[1] == "statefulsets"]
    assert store["spec"]["replicas"] == 1
