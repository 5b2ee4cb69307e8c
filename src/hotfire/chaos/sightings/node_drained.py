"""What ran on a node when it was to be drained has left it, and no new pod may come."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos import eviction
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.cluster import Node
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class NodeDrained(EachTarget):
    """Cordoned, and every uid of before gone."""

    word: Literal["node-drained"] = "node-drained"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return who is to leave each node.

        Raises:
            HarnessError: nobody is, so that an empty node would prove nothing.
        """
        found: dict[str, JsonValue] = {one.uid: _uids(world, one) for one in plan.targets}
        if idle := [one.node for one in plan.targets if not found[one.uid]]:
            raise HarnessError(f"nothing on {', '.join(idle)} could be evicted; nothing was fired")
        return {"leaving": found}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one node."""
        noted = scene.before.noted.get("leaving")
        were = noted.get(target.uid) if isinstance(noted, dict) else None
        if not isinstance(were, list):
            raise HarnessError(f"nobody noted what ran on {target.node} before the fault")
        node = scene.world.cluster.get("Node", None, target.node)
        if node is None:
            return Sighting("unknown", f"API server: there is no node {target.node} any more")
        cordoned = Node.parse(node).unschedulable
        left = set(were) & set(_uids(scene.world, target))
        words = (
            f"API server: {target.node} is {'' if cordoned else 'not '}cordoned,"
            f" {len(left)} of {len(were)} pods of before are still there"
        )
        return Sighting.of(cordoned and not left, words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to end, if that is longer."""
        return max(profile.waits.pod_gone_seconds, super().within_seconds(profile, over=over))


def _uids(world: World, target: Target) -> list[JsonValue]:
    return [str(one["metadata"]["uid"]) for one in eviction.leaving(world, target.node)]
