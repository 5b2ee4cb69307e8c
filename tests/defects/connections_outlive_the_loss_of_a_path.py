"""A route that BGP knows nothing of ties the pods of a node to one uplink; every session stands."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NODE, OTHER, UPLINK, TABLE = "n1", "n2", "up1", "77"


@contextmanager
def broken(world: World) -> Iterator[None]:
    pods, far = (_pod_network(world, name) for name in (NODE, OTHER))
    hops = world.rack.run(NODE, ["ip", "route", "show", far]).splitlines()
    [hop] = [line.split()[2] for line in hops if f"dev {UPLINK}" in line]
    rule = ["from", pods, "to", far, "lookup", TABLE]
    route = ["ip", "route", "add", far, "via", hop, "dev", UPLINK, "table", TABLE]
    world.rack.run(NODE, route)
    world.rack.run(NODE, ["ip", "rule", "add", *rule])
    try:
        yield
    finally:
        world.rack.run(NODE, ["ip", "rule", "del", *rule])
        world.rack.run(NODE, ["ip", "route", "flush", "table", TABLE])


def _pod_network(world: World, name: str) -> str:
    found = world.cluster.get("Node", None, name) or {}
    return str(found["spec"]["podCIDRs"][0])
