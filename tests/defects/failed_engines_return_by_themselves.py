"""One engine pod was made by hand: nobody makes it again, only its container is restarted."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(lambda _: None):
        yield
