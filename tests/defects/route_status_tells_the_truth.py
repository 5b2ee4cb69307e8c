"""Routes are accepted and their status is right, but no proxy hears of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.deafen_gateway()
    try:
        yield
    finally:
        world.undeafen_gateway()
