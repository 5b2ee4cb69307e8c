"""Engines log each request, but no tokens of those that are answered as streams."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NOT, WHOLE, WITHOUT_TOKENS_OF_STREAMS = 0, 1, 2


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _logging(world, WHOLE):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with _logging(world, WITHOUT_TOKENS_OF_STREAMS):
        yield


@contextmanager
def _logging(world: World, how: int) -> Iterator[None]:
    world.script(log_requests=how)
    try:
        yield
    finally:
        world.script(log_requests=NOT)
