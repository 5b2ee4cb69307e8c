"""There is a fallback for a metric that cannot be read, and it is the quiet night's: one engine."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.scaled import scaled
from tests.world import World

prepared = scaled


@contextmanager
def broken(world: World) -> Iterator[None]:
    with scaled(world, _back_to_one):
        yield


def _back_to_one(spec: Document) -> None:
    spec["fallback"] = {"failureThreshold": 1, "replicas": 1}
