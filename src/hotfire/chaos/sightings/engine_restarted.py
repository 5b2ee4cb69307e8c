"""The engines that were hit were started anew since, and the capacity is back."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class EngineRestarted(SightingWord):
    """Another container than before in each pod that was hit, or another pod."""

    word: Literal["engine-restarted"] = "engine-restarted"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        restarts = [restarted_since(scene, target) for target in scene.plan.targets]
        return all_of([*restarts, EnginesReady().look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        del over
        return profile.waits.pod_ready_seconds


def restarts_since(scene: Scene, target: Target) -> int | None:
    """Return how often a target's engine was restarted since the fault; None: its pod is gone."""
    pod = scene.world.cluster.pod(target.namespace, target.name)
    if pod is None or pod.uid != target.uid:
        return None
    container = pod.container(scene.world.profile.engine.container)
    before = scene.before.restarts.get(target.uid, target.restarts)
    return (container.restarts if container else before) - before


def restarted_since(scene: Scene, target: Target) -> Sighting:
    """Return whether a target's engine was started anew since the fault."""
    count = restarts_since(scene, target)
    words = "replaced" if count is None else f"restarted {count} times since"
    return Sighting.of(count is None or count > 0, f"kubelet: {target} was {words}")
