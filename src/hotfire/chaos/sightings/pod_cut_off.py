"""Packets to and from a pod are dropped and nobody connects to it, yet it is Ready."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import rules
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.pod_reached import refusal
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class PodCutOff(SightingWord):
    """A partition that readiness does not show."""

    word: Literal["pod-cut-off"] = "pod-cut-off"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Make sure that the pods can be connected to: only then does it prove something later."""
        for target in plan.targets:
            if why := refusal(world, plan, target):
                raise HarnessError(f"nobody connects to {target}: {why}; nothing was fired")
        return {}

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target is so."""
        return all_of(side_by_side(partial(_seen, scene), scene.plan.targets))


def _seen(scene: Scene, target: Target) -> Sighting:
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
