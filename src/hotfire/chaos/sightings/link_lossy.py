"""Frames are dropped on a link while its carrier stays, and BFD noticed where it runs."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.written import Target


class LinkLossy(SightingWord):
    """Silent loss, seen by our own drop counters and by the node's routing."""

    word: Literal["link-lossy"] = "link-lossy"

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's link is so."""
        return all_of(_seen(scene, target) for target in scene.plan.targets)


def _seen(scene: Scene, target: Target) -> Sighting:
    state = scene.world.agent.link_state(target.node, target.link)
    dropped = sum(state.drops.values())
    down = bool(state.bfd) and all(session.state != "Up" for session in state.bfd or ())
    noticed = down or scene.world.profile.fabric.routing is None
    words = (
        f"agent on {target.node}: {dropped} dropped on {target.link}, carrier"
        f" {'on' if state.carrier else 'off'}, BFD {'down' if down else 'not down'}"
    )
    return Sighting.of(state.carrier and dropped > 0 and noticed, words)
