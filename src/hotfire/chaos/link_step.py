"""What every step on a link has in common: the link is named, and whole before it is broken."""

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.targets.uplink_of_engine_node import all_up
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class LinkStep(NodeStep):
    """A fault of one link, done by the agent of its node."""

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the link, and what the word was given."""
        del world
        return {"link": target.link, **self.given()}

    def given(self) -> dict[str, object]:
        """Return what the agent must know beside the link."""
        return {}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that the link shows nothing of what a fault on it is proven by."""
        state = world.agent.link_state(target.node, target.link)
        trouble = "no carrier" if not state.carrier else ""
        if state.drops:
            trouble = trouble or f"our own rules drop frames already: {state.drops}"
        if world.profile.fabric.routing is not None and not all_up(state.bfd):
            trouble = trouble or "BFD is not up"
        if trouble:
            raise HarnessError(f"{target} was not whole: {trouble}; nothing was fired")
