"""Engines generate on for clients who have gone; everybody else is served as ever."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(misbehaviour="deaf")
    try:
        yield
    finally:
        world.script(misbehaviour="ok")
