"""An engine has to start and finds no device: the scheduler says so of the pod in its place."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.cache_refilled import newcomers
from hotfire.chaos.sightings.pod_replaced import PodReplaced
from hotfire.cluster import Pod
from hotfire.profile import TargetProfile

_REPLACED = PodReplaced()
_UNSCHEDULABLE = "Unschedulable"


class EngineWaitsForDevice(SightingWord):
    """Old uids gone, and every new pod is on no node, for want of one that could take it."""

    word: Literal["engine-waits-for-device"] = "engine-waits-for-device"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        new = [pod for pod in newcomers(scene) if not pod.over]
        return all_of([_REPLACED.look(scene), *(_waits(scene, pod) for pod in new)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to end, if that is longer."""
        return max(profile.waits.pod_gone_seconds, super().within_seconds(profile, over=over))


def _waits(scene: Scene, pod: Pod) -> Sighting:
    if pod.node:
        return Sighting("no", f"scheduler: {pod.name} was put on {pod.node}")
    found = scene.world.cluster.get("Pod", pod.namespace, pod.name) or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    told = next((one for one in conditions if one["type"] == "PodScheduled"), None)
    if told is None:
        return Sighting("unknown", f"scheduler: it has not looked at {pod.name} yet")
    words = f"scheduler: {pod.name}: {told.get('message') or told.get('reason')}"
    return Sighting.of(told.get("reason") == _UNSCHEDULABLE, words)
