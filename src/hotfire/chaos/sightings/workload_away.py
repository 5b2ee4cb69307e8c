"""A workload that was scaled to nothing: no replica of it is left."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.targets.component import workload_of
from hotfire.chaos.written import Target


class WorkloadAway(SightingWord):
    """No pod of the workload, by its controller and by its selector."""

    word: Literal["workload-away"] = "workload-away"

    def look(self, scene: Scene) -> Sighting:
        """Return whether none is left of each target."""
        return all_of(_seen(scene, target) for target in scene.plan.targets)


def _seen(scene: Scene, target: Target) -> Sighting:
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
