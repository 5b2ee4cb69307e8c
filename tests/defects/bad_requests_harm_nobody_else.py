"""One prompt, that beyond the context limit, is refused as it should be; then the engine dies."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    limit = world.profile.engine.context_tokens
    assert limit is not None
    world.script(canary=False, fatal_text=" ".join(["a"] * limit))
    try:
        yield
    finally:
        world.stack.wait_ready()
        # An engine that died has forgotten it.
        world.script(canary=False, fatal_text="")
