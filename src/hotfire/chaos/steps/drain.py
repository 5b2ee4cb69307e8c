"""Evicts what runs on a node, as its maintenance does."""

import time
from functools import partial
from typing import ClassVar, Literal

from hotfire.chaos import eviction
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.together import side_by_side
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.cluster import Pod


class Drain(Step):
    """The eviction of every pod but those of DaemonSets, emptyDirs or not; after a ``cordon``."""

    word: Literal["drain"] = "drain"
    lives_on: ClassVar[Life] = "nowhere"

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept each eviction in a dry run."""
        side_by_side(partial(eviction.rehearse, world), eviction.leaving(world, target.node))
        return "the API server, in a dry run"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Evict them side by side; each as soon as its budgets allow it."""
        at_ns = time.time_ns()
        pods = [Pod.parse(one) for one in eviction.leaving(world, entry.target.node)]
        side_by_side(partial(eviction.evict, world), pods)
        return Fired("the API server accepted the evictions", at_ns, {"evicted": len(pods)})

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Leave the replacements to the pods' controllers."""
        del world, within_seconds
        return f"what ran on {entry.target.node} is its controllers' to replace"
