"""Each engine takes one request at a time: fast for whoever is alone, and two do twice as much."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

# Answers of 0.4 s, so that a sweep up to 16 at a time costs the processor nothing.
TOKEN_SECONDS, USUAL_SECONDS = 0.05, 0.005
AT_ONCE, USUAL_AT_ONCE = 1, 32
RATED = 16


@contextmanager
def prepared(world: World) -> Iterator[None]:
    world.script(tpot_seconds=TOKEN_SECONDS)
    try:
        with world.target_says(load={"most_at_once": RATED}):
            yield
    finally:
        world.script(tpot_seconds=USUAL_SECONDS)


@contextmanager
def broken(world: World) -> Iterator[None]:
    with prepared(world):
        world.script(max_running=AT_ONCE, canary=False)
        try:
            yield
        finally:
            world.script(max_running=USUAL_AT_ONCE, canary=False)
