"""Each hop is measured from the request's start: the retriever's time is the engine's, too."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.overlays import rewritten
from tests.rag import retrieving
from tests.world import World

prepared = retrieving
OWN_TIME = 'observe("engine", time.monotonic() - began)'
measure_from_the_start = rewritten("api.py", OWN_TIME, OWN_TIME.replace("began", "call.at"))


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, measure_from_the_start):
        yield
