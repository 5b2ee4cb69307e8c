"""Takes the memory an engine computes in, until something has to give."""

from typing import Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, NodeStep
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected


class MemoryHog(NodeStep):
    """A process that fills the engine's memory cgroup, or its GPU."""

    word: Literal["memory-hog"] = "memory-hog"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent fill it."""
        target = entry.target
        if world.profile.accelerator.memory == "host-cgroup":
            order = {"pod_uid": target.uid, "container_id": target.container_id}
            return self.ordered(world, entry, "cgroup.hog", order)
        return self.ordered(world, entry, "device.hog", {"uuid": _device(world, target)})


def _device(world: World, target: Target) -> str:
    resource = world.profile.accelerator.resource
    for grant in world.agent.device_grants(target.node):
        mine = (grant.namespace, grant.pod) == (target.namespace, target.name)
        if mine and grant.resource == resource and grant.device_ids:
            return grant.device_ids[0]
    raise FaultNotInjected(f"the kubelet gave {target} no {resource}; set accelerator.resource")
