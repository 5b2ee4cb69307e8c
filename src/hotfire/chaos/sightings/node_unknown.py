"""Nobody hears of a node any more; the engines on it live and answer, or are as silent."""

from typing import Final, Literal

from hotfire.chaos.plan import engines
from hotfire.chaos.sighting import EachTarget, Scene, Sighting, all_of
from hotfire.chaos.written import Target
from hotfire.cluster import Document, Pod
from hotfire.profile import TargetProfile

_GRACE_SECONDS: Final = 75.0
"""Kubernetes calls a node Unknown 50 s after its last word, at the next look every 5 s."""


class NodeUnknown(EachTarget):
    """Ready is Unknown by the control plane's word; another node's agent asks its engines."""

    word: Literal["node-unknown"] = "node-unknown"
    engines_answer: bool = True
    """Whether they do; false for a node that is dead."""

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        world = scene.world
        status = ready_condition(world.cluster.get("Node", None, target.node))
        if status != "Unknown":
            return Sighting("no", f"API server: Ready of {target.node} is {status or 'not there'}")
        there = [pod for pod in engines(world.cluster, world.profile) if pod.node == target.node]
        if not there:
            return Sighting("no", f"no engine pod is on {target.node} any more")
        return all_of(self._told(scene, pod) for pod in there)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time in which the control plane notices, if that is longer."""
        return max(_GRACE_SECONDS, super().within_seconds(profile, over=over))

    def _told(self, scene: Scene, pod: Pod) -> Sighting:
        asking = scene.plan.bystanders[0].node
        answer = scene.world.agent.ask_engine(asking, pod.ip)
        said = f"HTTP {answer.status}" if answer.status else answer.said
        words = f"API server: Ready of {pod.node} is Unknown; {pod.name} says to {asking}: {said}"
        return Sighting.of((answer.status is not None) is self.engines_answer, words)


def ready_condition(node: Document | None) -> str:
    """Return the status of a node's Ready condition; empty: there is none."""
    conditions = ((node or {}).get("status") or {}).get("conditions") or ()
    return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "")
