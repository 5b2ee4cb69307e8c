"""Has an engine's GPU report an Xid to whoever watches its health."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.targets.engine_devices import device_of
from hotfire.chaos.written import Target


class GpuHealth(NodeStep):
    """A GPU that has an error, by its driver's word; the agent does it where GPUs are stand-ins."""

    word: Literal["gpu-health"] = "gpu-health"
    operation: ClassVar[str] = "gpu.health"
    xid: int = 79
    """NVIDIA's code of the error; 79: it has fallen off the bus."""

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the GPU; one that is shared is named with the number of the share."""
        return {"uuid": device_of(world, target).partition("::")[0], "xid": self.xid}
