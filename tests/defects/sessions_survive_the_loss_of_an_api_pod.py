"""Sessions are kept in the memory of the API's process: as long as that lives, each is there."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.rag import API, in_environment, retrieving
from tests.world import World

prepared = retrieving


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, in_environment(API, SESSIONS="")):
        yield
