"""Drops all frames of a link on its node; the link itself stays up."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class LinkSilentLoss(NodeStep):
    """Silent loss of all frames in both directions."""

    word: Literal["link-silent-loss"] = "link-silent-loss"
    operation: ClassVar[str] = "link.silent_loss"

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the link."""
        return {"link": target.link}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that the link carries, and nothing is dropped yet."""
        require_whole_link(world, target)


def require_whole_link(world: World, target: Target) -> None:
    """Make sure that a link shows nothing of what a fault on it is proven by.

    Raises:
        HarnessError: it does; nothing was fired.
    """
    state = world.agent.link_state(target.node, target.link)
    trouble = "no carrier" if not state.carrier else ""
    if state.drops:
        trouble = trouble or f"our own rules drop frames already: {state.drops}"
    if world.profile.fabric.routing is not None and not all_up(state.bfd):
        trouble = trouble or "BFD is not up"
    if trouble:
        raise HarnessError(f"{target} was not whole: {trouble}; nothing was fired")
