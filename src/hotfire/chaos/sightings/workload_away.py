"""A workload that was scaled to nothing: no replica of it is left."""

from typing import Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.component import workload_of
from hotfire.chaos.written import Target


class WorkloadAway(EachTarget):
    """No pod of the workload, by its controller and by its selector."""

    word: Literal["workload-away"] = "workload-away"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        found = workload_of(scene.world, target)
        if found is None:
            return Sighting("unknown", f"API server: there is no {target} any more")
        selector = ((found["spec"].get("selector") or {}).get("matchLabels")) or {}
        pods = scene.world.cluster.pods(target.namespace, selector) if selector else []
        left = [pod.name for pod in pods if not pod.over]
        counted = (found.get("status") or {}).get("replicas", 0)
        gone = not left and not counted and found["spec"].get("replicas") == 0
        words = f"API server: {counted} replicas of {target}, pods: {', '.join(left) or 'none'}"
        return Sighting.of(gone, words)
