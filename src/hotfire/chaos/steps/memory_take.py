"""Takes a node's memory by a pod that was promised none, so that its kubelet runs short of it."""

from typing import ClassVar, Final, Literal

from pydantic import Field

from hotfire.chaos.making import MakingStep
from hotfire.chaos.plan import World
from hotfire.chaos.readings import Memory, memory
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import HarnessError

_MEBIBYTE: Final = 1 << 20
# In small steps: the kubelet, which looks every ten seconds, must see it before the kernel has to
# kill somebody. What is written is really taken.
_PROGRAM: Final = """
import sys, time
step, held = 4 << 20, []
for _ in range(int(sys.argv[1]) // step):
    held.append(b"\1" * step)
    time.sleep(float(sys.argv[2]))
time.sleep(3600)
"""
_FILL_SECONDS: Final = 10.0
_CLASSES: Final = "scheduling.k8s.io/v1"


class MemoryTake(MakingStep):
    """A pod that nobody promised any memory to; the first that a kubelet evicts.

    It ends by itself, too, and its memory with it: nobody has to be alive for that.
    """

    word: Literal["memory-take"] = "memory-take"
    kind: ClassVar[str] = "Pod"
    namespaced: ClassVar[bool] = True
    free_mebibytes: int = Field(gt=0)
    """How much is left: less than the kubelet's threshold, more than the kernel needs."""
    for_seconds: int = Field(gt=0, le=600)
    """When it ends by itself."""

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that nothing is left of an earlier one, and that there is memory to take."""
        super().require_whole(world, target)
        self._taken(memory(world.agent, target.node))

    def spec(self, world: World, target: Target) -> Document:
        """Return a pod for that very node, of the lowest class that the cluster has."""
        taken = self._taken(memory(world.agent, target.node))
        pause = _FILL_SECONDS / (taken // (4 * _MEBIBYTE) + 1)
        container = {
            "name": "memory",
            "image": world.profile.images.python,
            "command": ["python3", "-c", _PROGRAM, str(taken), f"{pause:.4f}"],
        }
        lowest = _lowest_class(world)
        return {
            "nodeName": target.node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": self.for_seconds,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            **({"priorityClassName": lowest} if lowest else {}),
        }

    def _taken(self, there: Memory) -> int:
        taken = there.free_bytes - self.free_mebibytes * _MEBIBYTE
        if taken <= 0:
            raise HarnessError(f"memory is short already: {there.free_bytes} bytes are free")
        return taken


def _lowest_class(world: World) -> str:
    """Return the lowest class below that of pods which name none; empty: there is none."""
    found = world.cluster.list("PriorityClass", api_version=_CLASSES)
    below = [(int(one["value"]), str(one["metadata"]["name"])) for one in found if one["value"] < 0]
    return min(below)[1] if below else ""
