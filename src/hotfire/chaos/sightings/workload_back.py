"""A workload has as many Ready replicas as before the fault."""

from typing import Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.component import workload_of
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class WorkloadBack(EachTarget):
    """The former number of replicas, all of them Ready."""

    word: Literal["workload-back"] = "workload-back"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        found = workload_of(scene.world, target)
        if found is None:
            return Sighting("no", f"API server: there is no {target} any more")
        former = scene.entry_of(target.uid).undo.former
        wanted = int(former.get("replicas", found["spec"].get("replicas", 1)))
        status = found.get("status") or {}
        ready, current = status.get("readyReplicas", 0), status.get("observedGeneration", 0)
        back = ready == wanted == found["spec"].get("replicas")
        words = f"API server: {ready} of {wanted} replicas of {target} are Ready"
        return Sighting.of(back and current >= found["metadata"].get("generation", 0), words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        del over
        return profile.waits.pod_ready_seconds
