"""Each of two replicas counts for itself: together they accept twice the limit."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.tenants import AUTHORIZER, guarded
from tests.world import World

prepared = guarded
REPLICAS = 2


@contextmanager
def broken(world: World) -> Iterator[None]:
    def count_twice(document: Document) -> None:
        if document["kind"] == "Deployment" and document["metadata"]["name"] == AUTHORIZER:
            document["spec"]["replicas"] = REPLICAS

    with guarded(world, count_twice):
        yield
