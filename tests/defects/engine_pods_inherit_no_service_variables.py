"""One engine pod of three was made without the field: links are on, as is the default."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(lambda spec: spec.pop("enableServiceLinks")):
        yield
