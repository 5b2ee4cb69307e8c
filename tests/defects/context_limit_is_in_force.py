"""The limit was set where the engine does not look: its own, twice as much, is in force.

What the engine tells of itself is true, so that only the declared limit shows it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    declared = world.profile.engine.context_tokens
    assert declared is not None
    world.script(max_model_len=2 * declared)
    try:
        yield
    finally:
        world.script(max_model_len=declared)
