"""The defaults put back: engines close after five seconds, the gateway keeps for an hour.

Nor does the gateway send what an engine never read to another one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

UVICORN_SECONDS = 5.0
# That of overlays/scripted.
SOUND_SECONDS = 30.0


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.traffic_policy()
    timeout, retry = former["timeout"], former["retry"]
    triggers = [each for each in retry["retryOn"]["triggers"] if each != "reset-before-request"]
    try:
        world.set_traffic_policy(
            timeout={"http": {"connectionIdleTimeout": None}},
            retry={"retryOn": {"triggers": triggers}},
        )
        world.script(keep_alive_seconds=UVICORN_SECONDS)
        yield
    finally:
        world.script(keep_alive_seconds=SOUND_SECONDS)
        world.set_traffic_policy(timeout=timeout, retry=retry)
