"""Drops frames of a link on its node, all or a random share; the link itself stays up."""

from typing import Literal

from pydantic import Field

from hotfire.chaos.link_step import LinkStep
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired
from hotfire.chaos.undo import UndoEntry


class LinkLoss(LinkStep):
    """Silent loss of frames."""

    word: Literal["link-loss"] = "link-loss"
    direction: Literal["in", "out", "both"] = "both"
    """As the node sees it: what comes in, what goes out, or both."""
    percent: float = Field(default=100.0, gt=0, le=100)
    """Which share of the frames is lost."""

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent do it; what leaves no traffic on a link it refuses as a second cut."""
        order = self.order(world, entry.target)
        if self.percent < 100:
            order |= {"direction": self.direction, "ratio": self.percent / 100}
            return self.ordered(world, entry, "link.packet_loss", order)
        if self.direction == "both":
            return self.ordered(world, entry, "link.silent_loss", order)
        return self.ordered(
            world, entry, "link.one_way_loss", order | {"direction": self.direction}
        )
