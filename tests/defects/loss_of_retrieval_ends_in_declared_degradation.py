"""The API waits for its context as long as that takes; when the retriever refuses, it says so."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.rag import API, in_environment, retrieving
from tests.world import World

prepared = retrieving


@contextmanager
def broken(world: World) -> Iterator[None]:
    with retrieving(world, in_environment(API, CONTEXT_SECONDS="0")):
        yield
