"""Nobody is held: until an engine serves all get a bare 503. It is woken by them all the same."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.asleep import asleep, rewritten
from tests.world import World

prepared = asleep


@contextmanager
def broken(world: World) -> Iterator[None]:
    at_once = rewritten("HOLD_SECONDS, MOST_HELD = 120.0,", "HOLD_SECONDS, MOST_HELD = 0.0,")
    bare = rewritten('AGAIN = {"Retry-After": "10"}', "AGAIN: dict[str, str] = {}")
    with asleep(world, at_once, bare):
        yield
