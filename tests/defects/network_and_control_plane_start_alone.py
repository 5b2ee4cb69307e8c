"""The routing daemon's configuration lies behind the API: after a boot it waits until that answers.

While the API is there nobody sees a difference, and a daemon that runs goes on without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from hotfire.cluster import Door
from tests.world import World

DAEMON = "bird"
# A machine takes less than half of it to boot.
HEALING = {"healing_seconds": 25.0}
LOOK_SECONDS = 0.2


@contextmanager
def broken(world: World) -> Iterator[None]:
    over, workers = Event(), [node.name for node in world.cluster.nodes()]
    watcher = Thread(target=_fetch_first, args=(world, workers, over))
    watcher.start()
    try:
        with world.target_says(waits=HEALING):
            yield
    finally:
        over.set()
        watcher.join()
        for name in workers:
            world.rack.release(name, DAEMON)


def _fetch_first(world: World, workers: list[str], over: Event) -> None:
    """Keep the daemon of each node that is off from starting before the API can be asked."""
    door, waiting = Door.of(world.profile), set[str]()
    while not over.wait(LOOK_SECONDS):
        for name in workers:
            if world.rack.pid(name) is None and name not in waiting:
                world.rack.hold(name, DAEMON)
                waiting.add(name)
        booted = [name for name in waiting if world.rack.pid(name) is not None]
        if booted and not door.trouble(within_seconds=1.0):
            for name in booted:
                world.rack.release(name, DAEMON)
                waiting.discard(name)
