"""The processes that were killed are gone."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.written import Target


class ProcessesGone(SightingWord):
    """Gone by the kernel's word, known by id and start."""

    word: Literal["processes-gone"] = "processes-gone"

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's are."""
        return all_of(_seen(scene, target) for target in scene.plan.targets)


def _seen(scene: Scene, target: Target) -> Sighting:
    found = scene.world.agent.process_states(target.node, scene.entry_of(target.uid).id)
    told = ", ".join(f"{one.pid} {one.state or 'gone'}" for one in found) or "none"
    gone = bool(found) and not any(one.state for one in found)
    return Sighting.of(gone, f"agent on {target.node}: processes {told}")
