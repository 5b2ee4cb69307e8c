"""A worker acknowledges a job as it takes it: whatever it was doing dies with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.jobs import queueing
from tests.overlays import rewritten
from tests.world import World

prepared = queueing
DOES = "        result = self.answered(job)\n"
ACKNOWLEDGES = "        queue.acknowledge(redis, job)\n"


@contextmanager
def broken(world: World) -> Iterator[None]:
    with queueing(world, rewritten("worker.py", DOES, ACKNOWLEDGES + DOES)):
        yield
