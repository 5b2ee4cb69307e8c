"""Kills a container's first process after each start, until its pod backs off."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target


class CrashLoop(NodeStep):
    """A container that does not stay up."""

    word: Literal["crash-loop"] = "crash-loop"
    operation: ClassVar[str] = "process.crash_loop"

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the container."""
        del world
        return {"pod_uid": target.uid, "container_id": target.container_id}

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Let it live, and delete its pod: the back-off would keep it down for up to 300 s more."""
        undone = super().end(world, entry, within_seconds=within_seconds)
        target = entry.target
        pod = world.cluster.pod(target.namespace, target.name)
        if pod is None or pod.uid != target.uid or pod.serving:
            return undone
        world.cluster.delete("Pod", target.namespace, target.name, uid=target.uid)
        return f"{undone}; {target} was deleted to clear its back-off"
