"""The gateway picks a replica by the client's address: each client is pinned to one of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

BY_CLIENT = {"type": "ConsistentHash", "consistentHash": {"type": "SourceIP"}}


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.traffic_policy()["loadBalancer"]
    world.set_traffic_policy(loadBalancer=BY_CLIENT)
    try:
        yield
    finally:
        world.set_traffic_policy(loadBalancer={"consistentHash": None, **former})
