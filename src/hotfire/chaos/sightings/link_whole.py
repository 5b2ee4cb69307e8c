"""Nothing is dropped on a link any more, and BFD is up where it runs."""

from typing import Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.written import Target


class LinkWhole(EachTarget):
    """A link as it was."""

    word: Literal["link-whole"] = "link-whole"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether a link is so."""
        return seen_whole(scene, target)


def seen_whole(scene: Scene, target: Target) -> Sighting:
    """Return whether a target's link has carrier, drops nothing, and BFD is up."""
    state = scene.world.agent.link_state(target.node, target.link)
    up = all_up(state.bfd) or scene.world.profile.fabric.routing is None
    words = (
        f"agent on {target.node}: {target.link} carrier {'on' if state.carrier else 'off'},"
        f" dropping {state.drops or 'nothing'}, BFD {'up' if up else 'not up'}"
    )
    return Sighting.of(state.carrier and not state.drops and up, words)
