"""The plugin goes on offering a GPU that the driver has lost."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.rack.run("n2", ["mv", "/dev/nvidia1", "/dev/lost"])
    try:
        yield
    finally:
        world.rack.run("n2", ["mv", "/dev/lost", "/dev/nvidia1"])
