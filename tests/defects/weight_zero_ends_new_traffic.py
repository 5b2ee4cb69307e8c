"""The route's last change is accepted and never programmed: the version goes on being served to.

The split before it is programmed, and what the route says of its weights is right.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from fixtures.route_weights import BARRIER_HEADER
from fixtures.stack import CANARY
from hotfire.cluster import Document
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    over = Event()
    watcher = Thread(target=_deafen_once_split, args=(world, over))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        world.undeafen_gateway()


def _deafen_once_split(world: World, over: Event) -> None:
    """Deafen the gateway as soon as it follows a route with equal weights."""
    with world.endpoint() as endpoint:
        while not over.wait(0.2):
            rule = world.stack.route()["spec"]["rules"][0]
            replies = [endpoint.chat("?", max_tokens=1, fresh=True) for _ in range(4)]
            marks = {reply.headers.get(BARRIER_HEADER) for reply in replies}
            if _canary_weight(rule) == 50 and marks == {_mark(rule)}:
                world.deafen_gateway()
                return


def _canary_weight(rule: Document) -> int:
    return next(int(one["weight"]) for one in rule["backendRefs"] if one["name"] == CANARY)


def _mark(rule: Document) -> str:
    """Return what the answers over this route are marked with."""
    [marker] = rule["filters"]
    return str(marker["responseHeaderModifier"]["set"][0]["value"])
