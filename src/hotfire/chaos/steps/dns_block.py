"""Drops the questions of a node and its pods to the cluster's DNS."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.readings import dns_address
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target


class DnsBlock(NodeStep):
    """No answer from the cluster's DNS, by UDP or TCP."""

    word: Literal["dns-block"] = "dns-block"
    operation: ClassVar[str] = "net.block"

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return address and port of the cluster's DNS."""
        del target
        return {"between": [], "and": [dns_address(world.cluster)], "port": 53}
