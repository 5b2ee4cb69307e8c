"""Nothing is dropped on a link any more, and BFD is up where it runs."""

from functools import partial
from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target


class LinkWhole(SightingWord):
    """A link as it was."""

    word: Literal["link-whole"] = "link-whole"

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's link is so."""
        return all_of(side_by_side(partial(seen_whole, scene), scene.plan.targets))


def seen_whole(scene: Scene, target: Target) -> Sighting:
    """Return whether a target's link has carrier, drops nothing, and BFD is up."""
    state = scene.world.agent.link_state(target.node, target.link)
    up = all_up(state.bfd) or scene.world.profile.fabric.routing is None
    words = (
        f"agent on {target.node}: {target.link} carrier {'on' if state.carrier else 'off'},"
        f" dropping {state.drops or 'nothing'}, BFD {'up' if up else 'not up'}"
    )
    return Sighting.of(state.carrier and not state.drops and up, words)
