"""The gateway hears of no change once it follows the route: a dead engine stays among the others.

Kubernetes knows at once; endpoints, status and routes are right.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from fixtures.own_backends import HEADER
from tests.world import World

PAIR = "pair"
IN_A_ROW = 16


@contextmanager
def broken(world: World) -> Iterator[None]:
    over = Event()
    watcher = Thread(target=_deafen_once_routed, args=(world, over))
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        world.undeafen_gateway()


def _deafen_once_routed(world: World, over: Event) -> None:
    """Deafen the gateway as soon as each of its proxies leads to the check's engines."""
    with world.endpoint() as endpoint:

        def led() -> bool:
            reply = endpoint.chat("?", max_tokens=1, headers={HEADER: PAIR}, fresh=True)
            return reply.served_by == PAIR

        while not over.wait(0.2):
            if all(led() for _ in range(IN_A_ROW)):
                world.deafen_gateway()
                return
