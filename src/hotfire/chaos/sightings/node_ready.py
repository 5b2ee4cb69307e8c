"""The nodes that were hit are Ready again, and so are as many engines as before."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.sightings.node_unknown import ready_condition
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class NodeReady(SightingWord):
    """A node that is back, with its engines."""

    word: Literal["node-ready"] = "node-ready"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        nodes = [_seen(scene, target) for target in scene.plan.targets]
        return all_of([*nodes, EnginesReady().look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        del over
        return profile.waits.pod_ready_seconds


def _seen(scene: Scene, target: Target) -> Sighting:
    status = ready_condition(scene.world.cluster.get("Node", None, target.node))
    return Sighting.of(status == "True", f"API server: Ready of {target.node} is {status}")
