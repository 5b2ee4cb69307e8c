"""The first token takes longer than was promised."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    world.script(ttft_seconds=1.5 * (world.profile.budgets.ttft_p95_seconds or 1.0))
    try:
        yield
    finally:
        world.script(ttft_seconds=0.03)
