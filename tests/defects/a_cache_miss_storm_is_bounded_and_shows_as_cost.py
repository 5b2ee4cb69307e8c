"""An answer helps only those who ask when it is whole: until then each has an engine of his own.

The hit rate is told all the same, and is perfect for whoever asks one after the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.overlays import rewritten
from tests.rag import retrieving
from tests.world import World

prepared = retrieving
MISSED = "missed = found is None or found.old"
ALONE = MISSED.replace("found.old", "not found.over or found.old")
each_by_itself = rewritten("response_cache.py", MISSED, ALONE)


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, each_by_itself):
        yield
