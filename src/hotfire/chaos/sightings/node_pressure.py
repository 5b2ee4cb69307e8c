"""A node runs short of something by its kubelet's own word, or does not."""

from typing import Final, Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.cluster import Node
from hotfire.profile import TargetProfile

# The kubelet looks every 10 s, and takes its word back five minutes after the shortage.
_SECONDS: Final = {False: 60.0, True: 420.0}
_TAINTS: Final = {
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
}


class NodePressure(EachTarget):
    """The condition, and the taint that keeps pods away."""

    word: Literal["node-pressure"] = "node-pressure"
    condition: Literal["DiskPressure", "MemoryPressure"]
    present: bool

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one node."""
        found = scene.world.cluster.get("Node", None, target.node)
        if found is None:
            return Sighting("unknown", f"API server: there is no node {target.node} any more")
        conditions = (found.get("status") or {}).get("conditions") or ()
        status = next((one["status"] for one in conditions if one["type"] == self.condition), "")
        if status not in {"True", "False"}:
            told = f"{self.condition} of {target.node} is {status or 'not told'}"
            return Sighting("unknown", f"API server: {told}")
        tainted = _TAINTS[self.condition] in {one.key for one in Node.parse(found).taints}
        words = f"API server: {self.condition} of {target.node} is {status}"
        words += ", and it is tainted" if tainted else ", and it is not tainted"
        short = status == "True"
        return Sighting.of(short is tainted is self.present, words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the kubelet's own time, if that is longer."""
        return max(_SECONDS[over], super().within_seconds(profile, over=over))
