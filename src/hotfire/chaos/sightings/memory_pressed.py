"""A node is short of memory by its kubelet's word, and whoever took it was made to give it back."""

from typing import Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting, all_of
from hotfire.chaos.sightings.node_pressure import NodePressure
from hotfire.chaos.step import step_of
from hotfire.chaos.steps.memory_take import MemoryTake
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.profile import TargetProfile

_PRESSED = NodePressure(condition="MemoryPressure", present=True)
_KILLED = 137


class MemoryPressed(EachTarget):
    """Condition and taint of the node, and the end of the pod: evicted, or killed by the kernel."""

    word: Literal["memory-pressed"] = "memory-pressed"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether both are so of one node."""
        return all_of([_PRESSED.look_at(scene, target), *_ends(scene, target)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the kubelet's own time, if that is longer."""
        return _PRESSED.within_seconds(profile, over=over)


def _ends(scene: Scene, target: Target) -> list[Sighting]:
    steps = [step_of(one) for one in scene.entries if one.target.uid == target.uid]
    return [_end(one.made(scene.world, target)) for one in steps if isinstance(one, MemoryTake)]


def _end(pod: Document | None) -> Sighting:
    if pod is None:
        return Sighting("no", "API server: nobody takes the memory")
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    ends = [(one.get("state") or {}).get("terminated") or {} for one in containers]
    killed = any(one.get("exitCode") == _KILLED for one in ends)
    evicted = status.get("reason") == "Evicted"
    how = "evicted" if evicted else "killed" if killed else "neither evicted nor killed"
    words = f"API server: who took the memory was {how} ({status.get('phase')})"
    return Sighting.of(evicted or killed, words)
