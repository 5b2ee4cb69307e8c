"""A node hashes flows over their addresses only: those between two pods share one uplink."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.network import netns
from hotfire.lab.shape.topology import NAMESPACE_PREFIX
from tests.world import World

POLICY = "ipv4/fib_multipath_hash_policy"
OVER_ADDRESSES, OVER_FIELDS = "0", "3"


@contextmanager
def broken(world: World) -> Iterator[None]:
    node = f"{NAMESPACE_PREFIX}n2"
    netns.set_sysctls(node, {POLICY: OVER_ADDRESSES})
    try:
        yield
    finally:
        netns.set_sysctls(node, {POLICY: OVER_FIELDS})
