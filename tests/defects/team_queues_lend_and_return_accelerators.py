"""Teams borrow as they should, and no queue takes its own back: Kueue's default policy."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.queued import queued
from tests.world import World

prepared = queued


@contextmanager
def broken(world: World) -> Iterator[None]:
    with queued(world, _take_nothing_back):
        yield


def _take_nothing_back(spec: Document) -> None:
    del spec["preemption"]
