"""The nodes that were hit are Ready and take pods, and as many engines are Ready as before."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.node_ready import NodeReady
from hotfire.chaos.written import Target
from hotfire.cluster import Node
from hotfire.profile import TargetProfile

_READY = NodeReady()
_WORDS = {True: "is cordoned", False: "takes pods"}


class NodeTakesPods(SightingWord):
    """A node that is in use again."""

    word: Literal["node-takes-pods"] = "node-takes-pods"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        open_ = [_seen(scene, target) for target in scene.plan.targets]
        return all_of([*open_, _READY.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _READY.within_seconds(profile, over=over)


def _seen(scene: Scene, target: Target) -> Sighting:
    found = scene.world.cluster.get("Node", None, target.node)
    if found is None:
        return Sighting("no", f"API server: there is no node {target.node} any more")
    cordoned = Node.parse(found).unschedulable
    return Sighting.of(not cordoned, f"API server: {target.node} {_WORDS[cordoned]}")
