"""Cuts a node's power; what cut it gives it back by itself."""

import time
from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from pydantic import Field

from hotfire.chaos import outside
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError

_SECONDS: Final = 120.0
"""How long a power handle may take: some wait until the node has gone, or has come."""


class PowerCut(Step):
    """A node without power, by the handle that the target file names."""

    word: Literal["power-cut"] = "power-cut"
    # Its undo lies in the handle, armed before the cut: a timer of the BMC, the lab's warden.
    lives_on: ClassVar[Life] = "node"
    for_seconds: float = Field(gt=0, le=600)
    """When it comes back at the latest; nobody can prolong it."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return that there is a handle."""
        del target
        power = world.profile.power
        if not (power.cut and power.restore):
            raise HarnessError("set power.cut and power.restore to the commands that do so")
        return f"the power handle {power.cut[0]}"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Cut it."""
        at_ns = time.time_ns()
        try:
            _order([*world.profile.power.cut, entry.target.node, f"{self.for_seconds:g}"])
        except HarnessError as error:
            raise FaultNotInjected(str(error)) from error
        return Fired("the power handle says that it is cut", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Give it back, if it is not back already."""
        del within_seconds
        _order([*world.profile.power.restore, entry.target.node])
        return f"the power of {entry.target.node} is back, by its handle"


def _order(argv: Sequence[str]) -> None:
    done = outside.run(argv, within_seconds=_SECONDS)
    if done.rc:
        raise HarnessError(f"the power handle ended with {done.rc}: {done.stderr.strip()[-300:]}")
