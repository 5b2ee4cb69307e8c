"""A link has no carrier, and no BFD session over it is up where BFD runs."""

from typing import Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.written import Target


class LinkDown(EachTarget):
    """Loss of the carrier, which was there when the fault was fired."""

    word: Literal["link-down"] = "link-down"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        state = scene.world.agent.link_state(target.node, target.link)
        words = (
            f"agent on {target.node}: {target.link} carrier {'on' if state.carrier else 'off'},"
            f" BFD {'up' if all_up(state.bfd) else 'not up'}"
        )
        return Sighting.of(not state.carrier and not all_up(state.bfd), words)
