"""Decoding keeps its budget for as long as answers are short, and takes twice as long after that.

Nineteen of twenty answers are short: a percentile over all of them hides the others.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

PART_OF_THE_BUDGET = 0.65


@contextmanager
def broken(world: World) -> Iterator[None]:
    budget = world.profile.budgets.tpot_p95_seconds
    assert budget is not None
    short = world.profile.load.max_tokens
    world.script(tpot_seconds=PART_OF_THE_BUDGET * budget, slower_after_tokens=2 * short)
    try:
        yield
    finally:
        world.script(tpot_seconds=0.005, slower_after_tokens=0)
