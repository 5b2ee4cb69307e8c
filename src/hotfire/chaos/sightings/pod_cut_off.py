"""Packets to and from a pod are dropped and nobody connects to it, yet it is Ready."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import rules
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.pod_reached import refusal
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class PodCutOff(EachTarget):
    """A partition that readiness does not show."""

    word: Literal["pod-cut-off"] = "pod-cut-off"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Make sure that the pods can be connected to: only then does it prove something later."""
        for target in plan.targets:
            if why := refusal(world, plan, target):
                raise HarnessError(f"nobody connects to {target}: {why}; nothing was fired")
        return {}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        entry = scene.entry_of(target.uid)
        why = refusal(scene.world, scene.plan, target)
        dropped = rules(scene.world.agent, target.node, entry.id).drops
        pod = scene.world.cluster.pod(target.namespace, target.name)
        ready = pod is not None and pod.serving
        words = (
            f"{target}: {dropped} packets dropped, a connection from another node:"
            f" {why or 'opened'}, the pod {'still' if ready else 'not'} Ready"
        )
        return Sighting.of(dropped > 0 and bool(why) and ready, words)
