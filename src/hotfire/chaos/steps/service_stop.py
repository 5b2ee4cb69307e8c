"""Stops a service of a node and keeps it stopped."""

import time
from contextlib import suppress
from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, NodeStep
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from hotfire.waiting import until


class ServiceStop(NodeStep):
    """A service of the node's own that does not run for a while."""

    word: Literal["service-stop"] = "service-stop"
    operation: ClassVar[str] = "service.stop"
    service: str
    """Its name, such as ``kubelet``."""
    for_seconds: float | None = Field(default=None, gt=0, le=600)
    """How long, where our own way to the agent leads through that service: then nobody can prolong
    or end it meanwhile, and the agent starts it again by itself. None: a lease at a time."""

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the service."""
        del world, target
        return {"service": self.service}

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent stop it; where that cuts the answer off, nobody waits for one."""
        if self.for_seconds is None:
            return super().fire(world, entry)
        node, at_ns = entry.target.node, time.time_ns()
        order = self.order(world, entry.target)
        world.agent.fire_unheard(node, self.operation, entry.id, seconds=self.for_seconds, **order)
        return Fired(f"order to the agent on {node}", at_ns, {"entry": entry.id})

    def renew(self, world: World, entry: UndoEntry) -> None:
        """Give it another lease, unless it has its own time."""
        if self.for_seconds is None:
            super().renew(world, entry)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Have it started again; an agent out of reach is given the time to do it by itself."""
        if self.for_seconds is not None:
            with suppress(HarnessError):
                until(
                    lambda: world.agent.is_ours(entry.target.node),
                    within_seconds=self.for_seconds,
                    what=f"the agent on {entry.target.node}",
                    poll_seconds=1.0,
                )
        return super().end(world, entry, within_seconds=within_seconds)
