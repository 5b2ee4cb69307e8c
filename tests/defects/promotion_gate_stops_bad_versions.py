"""The promotion gate compares as it should, and takes figures that are missing for good ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.overlays import Change, added, as_it_is, rewritten
from tests.world import World

GATE = "promotion-gate"
LOOKS = "join(missing(stable, canary, step=step))"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _gate(world, as_it_is):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with _gate(world, rewritten("promotion_decision.py", LOOKS, "join(())")):
        yield


@contextmanager
def _gate(world: World, change: Change) -> Iterator[None]:
    """Have the objects of the gate, which the scripted stack has not."""
    namespace, documents = world.profile.namespace, added(world, "promotion")
    for one in documents:
        change(one)
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
