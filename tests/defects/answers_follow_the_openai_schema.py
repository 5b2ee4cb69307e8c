"""An error object inside a stream that began with 200."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(misbehaviour="sse_error")
    try:
        yield
    finally:
        world.script(misbehaviour="ok")
