"""One uplink of a node takes smaller packets than pods send, and nobody tells them."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NODE, LINK = "n2", "up2"
SMALLER = 1400
FILTER = """
table ip twin {
  chain silence {
    type filter hook output priority filter;
    icmp type destination-unreachable icmp code frag-needed drop
  }
}
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.rack.run(NODE, ["cat", f"/sys/class/net/{LINK}/mtu"]).strip()
    try:
        world.rack.run(NODE, ["nft", "-f", "-"], stdin=FILTER)
        world.rack.run(NODE, ["ip", "link", "set", LINK, "mtu", str(SMALLER)])
        yield
    finally:
        world.rack.run(NODE, ["ip", "link", "set", LINK, "mtu", former])
        world.rack.run(NODE, ["nft", "delete", "table", "ip", "twin"])
