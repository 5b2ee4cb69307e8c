"""Drops whatever goes between a pod and others; only its own node, which probes it, still can."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World, resolve_again
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target


class PodPartition(NodeStep):
    """A pod that nobody reaches though its kubelet holds it Ready."""

    word: Literal["pod-partition"] = "pod-partition"
    operation: ClassVar[str] = "net.block"

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the pod's address."""
        address = resolve_again(world.cluster, target).ip
        return {"between": [], "and": [address], "spare_node": True}
