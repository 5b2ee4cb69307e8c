"""The scripted stack that scales to zero behind its activator: ``overlays/scale-to-zero``."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tests import overlays
from tests.overlays import Change, added, beside
from tests.scaled import OVERLAY as SCALED
from tests.scaled import extended, scaled_object, slow_engines
from tests.world import World

OVERLAY, ACTIVATOR = "scale-to-zero", "activator"
rewritten = partial(overlays.rewritten, "activator.py")
"""Returns what makes the activator another program."""
# The first question of a run wakes an engine, and may be answered by it only; the last one is away
# half a minute after its last request.
_WAITS = {"route_live_seconds": 90.0, "idle_seconds": 120.0}


@contextmanager
def asleep(world: World, *changes: Change) -> Iterator[None]:
    """Have no engine without demand; ``changes`` those of the activator's objects before."""
    extended()
    activator = added(world, OVERLAY, to=SCALED)
    for document in activator:
        for change in changes:
            change(document)
    with (
        slow_engines(world),
        beside(world, activator),
        scaled_object(world, overlay=OVERLAY),
        world.target_says(waits=_WAITS),
    ):
        yield
