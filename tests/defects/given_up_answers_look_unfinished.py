"""An engine that is stopped ends its streams with their reason, their usage and ``[DONE]``."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(misbehaviour="polite_stop")
    try:
        yield
    finally:
        world.script(misbehaviour="ok")
