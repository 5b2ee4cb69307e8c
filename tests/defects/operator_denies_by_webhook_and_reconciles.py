"""The webhook is there, and is asked about namespaces with a label only that none of them has."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.scaled import extended
from tests.world import World

API, NAME = "admissionregistration.k8s.io/v1", "keda-admission"
NOWHERE = {"matchLabels": {"keda.sh/validated": "true"}}


@contextmanager
def prepared(world: World) -> Iterator[None]:
    del world
    extended()
    yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    extended()
    former = _webhooks(world)
    _set(world, [{**one, "namespaceSelector": NOWHERE} for one in former])
    try:
        yield
    finally:
        _set(world, former)


def _webhooks(world: World) -> list[Document]:
    found = world.cluster.get("ValidatingWebhookConfiguration", None, NAME, api_version=API) or {}
    webhooks: list[Document] = found["webhooks"]
    return webhooks


def _set(world: World, webhooks: list[Document]) -> None:
    kind = "ValidatingWebhookConfiguration"
    world.cluster.patch(kind, None, NAME, {"webhooks": webhooks}, api_version=API)
