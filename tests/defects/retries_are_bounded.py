"""A storm of retries: what an engine refuses is sent to it eight times more.

Users notice nothing: what is refused at last would have been refused at first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    retry = world.traffic_policy()["retry"]
    triggers = [*retry["retryOn"]["triggers"], "gateway-error"]
    try:
        world.set_traffic_policy(retry={"numRetries": 8, "retryOn": {"triggers": triggers}})
        yield
    finally:
        world.set_traffic_policy(retry=retry)
