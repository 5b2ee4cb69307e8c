"""The processes that were killed are gone."""

from typing import Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target


class ProcessesGone(EachTarget):
    """Gone by the kernel's word, known by id and start."""

    word: Literal["processes-gone"] = "processes-gone"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        found = scene.world.agent.process_states(target.node, scene.entry_of(target.uid).id)
        told = ", ".join(f"{one.pid} {one.state or 'gone'}" for one in found) or "none"
        gone = bool(found) and not any(one.state for one in found)
        return Sighting.of(gone, f"agent on {target.node}: processes {told}")
