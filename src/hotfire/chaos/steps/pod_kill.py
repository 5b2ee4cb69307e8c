"""Deletes a pod without grace, that very pod and no other of its name."""

import time
from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected


class PodKill(Step):
    """A pod's deletion with grace 0."""

    word: Literal["pod-kill"] = "pod-kill"
    lives_on: ClassVar[Life] = "nowhere"

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept the deletion in a dry run."""
        _delete(world, target, dry_run=True)
        return "the API server, in a dry run"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Delete it."""
        at_ns = time.time_ns()
        if not _delete(world, entry.target):
            raise FaultNotInjected(f"{entry.target} was gone before it was deleted")
        return Fired("the API server accepted the deletion", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Leave the replacement to the pod's controller."""
        del world, within_seconds
        return f"{entry.target} is its controller's to replace"


def _delete(world: World, target: Target, *, dry_run: bool = False) -> bool:
    return world.cluster.delete(
        "Pod", target.namespace, target.name, uid=target.uid, grace_seconds=0, dry_run=dry_run
    )
