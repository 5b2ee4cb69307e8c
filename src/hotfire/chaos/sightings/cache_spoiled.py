"""A node's copy of the model is wrong by its agent's word, and engines have to start anew."""

from typing import Literal

from hotfire.chaos.agent_answers import AgentEntry
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.pod_replaced import PodReplaced
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class CacheSpoiled(SightingWord):
    """A wrong byte that was read back, on one node at least, and other engine pods than before."""

    word: Literal["cache-spoiled"] = "cache-spoiled"

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        found = spoiled(scene)
        words = f"agents: the model's copy was spoiled on {', '.join(found) or 'no node'}"
        return all_of([Sighting.of(bool(found), words), PodReplaced().look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to end, if that is longer."""
        return max(profile.waits.pod_gone_seconds, super().within_seconds(profile, over=over))


def spoiled(scene: Scene) -> dict[str, AgentEntry]:
    """Return the agents' entries of those nodes whose copy was spoiled, by the nodes' names."""

    def entry(target: Target) -> AgentEntry | None:
        mine = {one.id for one in scene.entries if one.target.uid == target.uid}
        known = scene.world.agent.entries(target.node)
        return next((one for one in known if one.id in mine and one.observed.spoiled), None)

    nodes = [one for one in scene.plan.targets if one.kind == "node"]
    found = zip(nodes, side_by_side(entry, nodes), strict=True)
    return {target.node: one for target, one in found if one}
