"""Nothing is dropped on a link any more, and BFD is up where it runs."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.written import Target


class LinkWhole(SightingWord):
    """A link as it was."""

    word: Literal["link-whole"] = "link-whole"

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's link is so."""
        return all_of(_seen(scene, target) for target in scene.plan.targets)


def _seen(scene: Scene, target: Target) -> Sighting:
    state = scene.world.agent.link_state(target.node, target.link)
    up = all_up(state.bfd) or scene.world.profile.fabric.routing is None
    words = (
        f"agent on {target.node}: {target.link} carrier {'on' if state.carrier else 'off'},"
        f" dropping {state.drops or 'nothing'}, BFD {'up' if up else 'not up'}"
    )
    return Sighting.of(state.carrier and not state.drops and up, words)
