"""All frames of a link are dropped while its carrier stays, and BFD noticed where it runs."""

from typing import Final, Literal

from hotfire.chaos.agent_answers import LinkState
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.written import Target

_HOOKS: Final = {"in": {"ingress"}, "out": {"egress"}, "both": {"ingress", "egress"}}


class LinkLossy(EachTarget):
    """Silent loss, seen by our own drop counters and by the node's routing."""

    word: Literal["link-lossy"] = "link-lossy"
    direction: Literal["in", "out", "both"] = "both"
    """Where frames are dropped, and nowhere else."""

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one link."""
        state = scene.world.agent.link_state(target.node, target.link)
        noticed = bfd_is_down(state) or scene.world.profile.fabric.routing is None
        dropping = {hook for hook, count in state.drops.items() if count > 0}
        words = (
            f"agent on {target.node}: dropped on {target.link}: {state.drops or 'nothing'}, carrier"
            f" {'on' if state.carrier else 'off'}, BFD {'down' if bfd_is_down(state) else 'up'}"
        )
        return Sighting.of(state.carrier and dropping == _HOOKS[self.direction] and noticed, words)


def bfd_is_down(state: LinkState) -> bool:
    """Return whether a link's BFD sessions were there and none of them is up."""
    return bool(state.bfd) and not any(all_up([session]) for session in state.bfd or ())
