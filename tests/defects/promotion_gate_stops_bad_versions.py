"""The promotion gate compares as it should, and takes figures that are missing for good ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.deployment import render
from hotfire.cluster import Document
from hotfire.waiting import until
from tests.world import World

GATE, DECISION = "promotion-gate", "promotion_decision.py"
LOOKS = "join(missing(stable, canary, step=step))"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _gate(world, _documents(world)):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    documents = _documents(world)
    for one in documents:
        if DECISION in (data := one.get("data", {})):
            assert LOOKS in data[DECISION]
            data[DECISION] = data[DECISION].replace(LOOKS, "join(())")
    with _gate(world, documents):
        yield


def _documents(world: World) -> list[Document]:
    """Return the objects of the gate, which the scripted stack has not."""
    choice = world.profile.stack.model_copy(update={"overlay": "promotion"})
    rendered = render(world.profile.model_copy(update={"stack": choice}))
    return [one for one in rendered if one["metadata"]["name"].startswith(GATE)]


@contextmanager
def _gate(world: World, documents: list[Document]) -> Iterator[None]:
    namespace = world.profile.namespace
    world.cluster.apply(documents, namespace=namespace)
    try:
        until(
            lambda: [pod for pod in world.cluster.pods(namespace, {"app": GATE}) if pod.serving],
            within_seconds=60,
            what="the promotion gate Ready",
        )
        yield
    finally:
        for one in documents:
            place = (one["kind"], namespace, one["metadata"]["name"])
            world.cluster.delete(*place, api_version=one["apiVersion"])
        until(
            lambda: not world.cluster.pods(namespace, {"app": GATE}),
            within_seconds=60,
            what="the promotion gate gone",
        )
