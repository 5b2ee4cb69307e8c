"""The gateway collects each answer whole before it passes it on.

Every answer is complete and right, and its engine wrote it token by token.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.gateway_program(on_response="handle:body()"):
        yield
