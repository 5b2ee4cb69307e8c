"""BFD is on, and so slow on one node that a dead path is a hole for three seconds."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.network.fabric import BFD_INTERVAL_MS
from tests.bird import configured
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    usual, slow = (f"min rx interval {each} ms" for each in (BFD_INTERVAL_MS, 1000))
    with configured(world.rack, "n2", lambda text: text.replace(usual, slow)):
        yield
