"""An engine that was Ready once stays so, whatever becomes of its pods."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.serving_operator import operated, rewritten
from tests.world import World

prepared = operated
LOOKS = '"Ready": whole,'


@contextmanager
def broken(world: World) -> Iterator[None]:
    with operated(world, rewritten(LOOKS, '"Ready": whole or was_whole,')):
        yield
