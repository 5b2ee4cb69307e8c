"""As many engine pods are Ready as when the fault was planned."""

from typing import Literal

from hotfire.chaos.plan import ready_engines
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.profile import TargetProfile


class EnginesReady(SightingWord):
    """The capacity is back."""

    word: Literal["engines-ready"] = "engines-ready"

    def look(self, scene: Scene) -> Sighting:
        """Return whether it is."""
        wanted = scene.plan.ready or len(scene.plan.targets) + len(scene.plan.bystanders)
        ready = ready_engines(scene.world)
        return Sighting.of(ready >= wanted, f"{ready} of {wanted} engine pods are Ready")

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        del over
        return profile.waits.pod_ready_seconds
