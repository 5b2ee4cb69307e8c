"""Evicts a pod: it may end what it accepted, and its budgets are obeyed."""

import time
from typing import ClassVar, Literal

from hotfire.chaos import eviction
from hotfire.chaos.plan import World, resolve_again
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Kind, Target
from hotfire.errors import FaultNotInjected, HarnessError


class Evict(Step):
    """A pod's eviction, as by whoever needs its node."""

    word: Literal["evict"] = "evict"
    lives_on: ClassVar[Life] = "nowhere"
    takes: ClassVar[frozenset[Kind] | None] = frozenset({"pod"})

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept it in a dry run."""
        found = world.cluster.get("Pod", target.namespace, target.name)
        if found is None:
            raise HarnessError(f"{target} is gone")
        eviction.rehearse(world, found)
        return "the API server, in a dry run"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Evict it, as soon as its budgets allow it."""
        at_ns = time.time_ns()
        try:
            pod = resolve_again(world.cluster, entry.target)
        except HarnessError as error:
            raise FaultNotInjected(str(error)) from error
        eviction.evict(world, pod)
        return Fired("the API server accepted the eviction", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Leave the replacement to the pod's controller."""
        del world, within_seconds
        return f"{entry.target} is its controller's to replace"
