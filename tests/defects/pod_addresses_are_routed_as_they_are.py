"""A node hides its pods behind its own address, and everybody is answered as before."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NODE = "n2"
FILTER = """
table ip twin {{
  chain hide {{
    type nat hook postrouting priority srcnat - 20;
    ip saddr {pods} oifname "up*" snat to {node}
  }}
}}
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    found = world.cluster.get("Node", None, NODE)
    assert found is not None
    [node] = [one for one in world.cluster.nodes() if one.name == NODE]
    rules = FILTER.format(pods=found["spec"]["podCIDRs"][0], node=node.internal_ip)
    world.rack.run(NODE, ["nft", "-f", "-"], stdin=rules)
    try:
        yield
    finally:
        world.rack.run(NODE, ["nft", "delete", "table", "ip", "twin"])
