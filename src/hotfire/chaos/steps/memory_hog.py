"""Takes the memory an engine computes in, until something has to give."""

from typing import Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, NodeStep
from hotfire.chaos.targets.engine_devices import device_of
from hotfire.chaos.undo import UndoEntry


class MemoryHog(NodeStep):
    """A process that fills the engine's memory cgroup, or its GPU."""

    word: Literal["memory-hog"] = "memory-hog"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent fill it."""
        target = entry.target
        if world.profile.accelerator.memory == "host-cgroup":
            order = {"pod_uid": target.uid, "container_id": target.container_id}
            return self.ordered(world, entry, "cgroup.hog", order)
        return self.ordered(world, entry, "device.hog", {"uuid": device_of(world, target)})
