"""Engines log no request, except for those that they refuse: these whole."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(canary=False, log_refused=1)
    try:
        yield
    finally:
        world.script(canary=False, log_refused=0)
