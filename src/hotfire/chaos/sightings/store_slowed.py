"""The model store gives every node a small share of before, and an engine has to start so."""

from functools import partial
from typing import Literal

from pydantic import Field

from hotfire.chaos.agent_answers import AgentEntry
from hotfire.chaos.readings import store_share
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.pod_replaced import PodReplaced
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class StoreSlowed(SightingWord):
    """What comes in a second, measured from each node, and another engine pod than before."""

    word: Literal["store-slowed"] = "store-slowed"
    at_most_percent: float = Field(gt=0, lt=100)
    """Of what came before."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so; nothing is fetched until the engine has to start."""
        replaced = PodReplaced().look(scene)
        if replaced.seen != "yes":
            return replaced
        slow = [
            Sighting.of(share <= self.at_most_percent, f"{node} gets {share:.2f} % of before")
            for node, share in shares_of_before(scene).items()
        ]
        limited = Sighting.of(bool(slow), f"agents: the store was made slow for {len(slow)} nodes")
        return all_of([limited, *slow, replaced])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to end, if that is longer."""
        return max(profile.waits.pod_gone_seconds, super().within_seconds(profile, over=over))


def shares_of_before(scene: Scene) -> dict[str, float]:
    """Return how many percent of before each node that was limited gets from the store now.

    Raises:
        HarnessError: an agent cannot tell or measure.
    """
    nodes = [one for one in scene.plan.targets if one.kind == "node"]
    found = zip(nodes, side_by_side(partial(_share, scene), nodes), strict=True)
    return {target.node: percent for target, percent in found if percent is not None}


def slow_entry(scene: Scene, target: Target) -> AgentEntry | None:
    """Return what an agent knows of its limit on the store; None where it has not set any."""
    mine = {one.id for one in scene.entries if one.target.uid == target.uid}
    known = scene.world.agent.entries(target.node)
    return next((one for one in known if one.id in mine and one.op == "store.slow"), None)


def _share(scene: Scene, target: Target) -> float | None:
    found = slow_entry(scene, target)
    return store_share(scene.world.agent, target.node, found.id) if found else None
