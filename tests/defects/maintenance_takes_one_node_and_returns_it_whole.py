"""The budget allows for two engines to be away at once: two nodes are emptied side by side.

Each drain by itself obeys it, loses nothing and returns its node whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.budgets import budget
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    # Of these two a budget has one; in a merge patch null takes the other away.
    with budget(world, lambda _: {"minAvailable": None, "maxUnavailable": 2}):
        yield
