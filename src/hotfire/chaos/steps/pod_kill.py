"""Deletes a pod without grace, that very pod and no other of its name."""

import time
from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos import engine_counts
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import until


class PodKill(Step):
    """A pod's deletion with grace 0."""

    word: Literal["pod-kill"] = "pod-kill"
    lives_on: ClassVar[Life] = "nowhere"
    amid_streams: int = Field(default=0, ge=0)
    """How many requests an engine must be writing at that moment, by its own word; 0: any time."""

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept the deletion in a dry run."""
        _delete(world, target, dry_run=True)
        return "the API server, in a dry run"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Delete it, once it is as busy as it is to be."""
        self._await_streams(world, entry.target)
        at_ns = time.time_ns()
        if not _delete(world, entry.target):
            raise FaultNotInjected(f"{entry.target} was gone before it was deleted")
        return Fired("the API server accepted the deletion", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Leave the replacement to the pod's controller."""
        del world, within_seconds
        return f"{entry.target} is its controller's to replace"

    def _await_streams(self, world: World, target: Target) -> None:
        if not self.amid_streams:
            return
        try:
            until(
                lambda: engine_counts.running(world, target) >= self.amid_streams,
                within_seconds=world.profile.waits.injection_seconds,
                what=f"{self.amid_streams} requests running in {target.name}",
                excused_seconds=world.cluster.silent_seconds,
            )
        except HarnessError as error:
            raise FaultNotInjected(f"{target} was not killed: {error}") from error


def _delete(world: World, target: Target, *, dry_run: bool = False) -> bool:
    return world.cluster.delete(
        "Pod", target.namespace, target.name, uid=target.uid, grace_seconds=0, dry_run=dry_run
    )
