"""First come, first served: no tenant has a limit, and whoever asks for most gets most."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.overlays import Change, as_it_is
from tests.tenants import METERED, guarded
from tests.world import World

RULES = "rules.json"
# Answers of 1.4 s: within the limit at most 50 of the engines' 64 places are taken; at five times
# the limit 80 would be.
TOKEN_SECONDS, USUAL_SECONDS = 0.2, 0.005


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _slow(world, as_it_is):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    def take_all(document: Document) -> None:
        if RULES in (data := document.get("data", {})):
            rules = json.loads(data[RULES])
            del rules["tenants"][METERED]["limit"]
            data[RULES] = json.dumps(rules)

    with _slow(world, take_all):
        yield


@contextmanager
def _slow(world: World, change: Change) -> Iterator[None]:
    """Have answers that keep a place of an engine for seconds, and cost the processor nothing."""
    world.script(tpot_seconds=TOKEN_SECONDS)
    try:
        with guarded(world, change):
            yield
    finally:
        world.script(tpot_seconds=USUAL_SECONDS)
