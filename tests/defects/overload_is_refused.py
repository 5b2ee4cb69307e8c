"""Engines queue whatever comes: nobody is refused, nothing is lost, and everybody waits."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

MOST_WAITING = 8


@contextmanager
def prepared(world: World) -> Iterator[None]:
    world.script(canary=False, max_waiting=MOST_WAITING)
    try:
        yield
    finally:
        world.script(canary=False, max_waiting=0)


@contextmanager
def broken(world: World) -> Iterator[None]:
    del world  # The scripted stack as it is.
    yield
