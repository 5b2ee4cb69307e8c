"""The promotion gate compares as it should, and takes figures that are missing for good ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.overlays import Change, added, as_it_is, beside, rewritten
from tests.world import World

GATE = "promotion-gate"
LOOKS = "join(missing(stable, canary, step=step))"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _gate(world, as_it_is):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with _gate(world, rewritten("promotion_decision.py", LOOKS, "join(())")):
        yield


@contextmanager
def _gate(world: World, change: Change) -> Iterator[None]:
    """Have the objects of the gate, which the scripted stack has not."""
    documents = added(world, "promotion")
    for one in documents:
        change(one)
    with beside(world, documents):
        yield
