"""One answer in sixty heeds no schema, as where one replica was started without guided decoding."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(misbehaviour="free_text", every=60)
    try:
        yield
    finally:
        world.script(misbehaviour="ok", every=1)
