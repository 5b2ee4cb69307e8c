"""A link has no carrier, and no BFD session over it is up where BFD runs."""

from functools import partial
from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target


class LinkDown(SightingWord):
    """Loss of the carrier, which was there when the fault was fired."""

    word: Literal["link-down"] = "link-down"

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's link is so."""
        return all_of(side_by_side(partial(_seen, scene), scene.plan.targets))


def _seen(scene: Scene, target: Target) -> Sighting:
    state = scene.world.agent.link_state(target.node, target.link)
    words = (
        f"agent on {target.node}: {target.link} carrier {'on' if state.carrier else 'off'},"
        f" BFD {'up' if all_up(state.bfd) else 'not up'}"
    )
    return Sighting.of(not state.carrier and not all_up(state.bfd), words)
