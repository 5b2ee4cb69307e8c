"""Each hop is measured from the request's start: the retriever's time is the engine's, too."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.rag import retrieving
from tests.world import World

PROGRAM = "api.py"
OWN_TIME = 'observe("engine", time.monotonic() - began)'


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with retrieving(world):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, measure_from_the_start):
        yield


def measure_from_the_start(document: Document) -> None:
    if PROGRAM in (data := document.get("data", {})):
        assert OWN_TIME in data[PROGRAM]
        data[PROGRAM] = data[PROGRAM].replace(OWN_TIME, OWN_TIME.replace("began", "call.at"))
