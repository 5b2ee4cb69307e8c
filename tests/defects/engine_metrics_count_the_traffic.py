"""One replica counts like the others, and lacks the annotation by which it would be scraped."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    # An engine by hand has the labels of the others, and none of their annotations.
    with world.one_more_engine(lambda _: None):
        yield
