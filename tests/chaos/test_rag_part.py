"""A part of a RAG application is found by its pods, and is taken away like any other component."""

import pytest

from hotfire.chaos.plan import World
from hotfire.chaos.targets.rag_part import RagPart
from hotfire.errors import HarnessError
from hotfire.rag import Rag
from tests.chaos.platform import Platform
from tests.fake_api import Document, FakeApi

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
