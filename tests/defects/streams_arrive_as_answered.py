"""One stream in fifty ends early and cleanly, as behind a proxy that gives up."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(misbehaviour="truncate", every=50)
    try:
        yield
    finally:
        world.script(misbehaviour="ok", every=1)
