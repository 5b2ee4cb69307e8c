"""Turns one bit in a node's copy of the engines' model, where it has one."""

import time
from typing import ClassVar, Literal

from hotfire.chaos.agent_answers import Answer, read
from hotfire.chaos.model_store import cache_directory
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, NodeStep
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Kind, Target


class Presence(Answer):
    """Whether a node has a copy."""

    present: bool


class CacheSpoil(NodeStep):
    """A wrong bit in the middle of the largest file."""

    word: Literal["cache-spoil"] = "cache-spoil"
    operation: ClassVar[str] = "file.spoil"
    takes: ClassVar[frozenset[Kind] | None] = frozenset({"node"})

    def rehearse(self, world: World, target: Target) -> str:
        """Return that the agent answers; where the cache lies must be known."""
        cache_directory(world)
        return super().rehearse(world, target)

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent do it; a node that never had an engine has nothing to be spoiled."""
        node, order = entry.target.node, {"directory": cache_directory(world)}
        if read(Presence, world.agent.call(node, "file.present", **order)).present:
            return self.ordered(world, entry, self.operation, order)
        return Fired(f"agent on {node}: it has no copy", time.time_ns())

    def renew(self, world: World, entry: UndoEntry) -> None:
        """Give the node's entry another lease, if it has one."""
        if entry.id in {one.id for one in world.agent.open_entries(entry.target.node)}:
            super().renew(world, entry)
