"""Stops or kills processes: those of an engine's container, or a service's main one."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hotfire.chaos import engine_counts
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, NodeStep
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import pause, until


class ProcessSignal(NodeStep):
    """A signal to the very processes that are there when it is sent."""

    word: Literal["process-signal"] = "process-signal"
    operation: ClassVar[str] = "process.signal"
    signal: Literal["STOP", "KILL"]
    """STOP is undone by CONT; who supervises a killed process starts another."""
    process: str = ""
    """A part of the command line; where the container has no process called so, as with an engine
    that is one process, all of them get it."""
    service: str = ""
    """A service of the node instead of a container."""
    amid_streams: int = Field(default=0, ge=0)
    """How many requests the engine must be writing at that moment, by its own word; 0: any time."""
    after_seconds: float = Field(default=0, ge=0, le=10)
    """How long to wait before it is sent, after the step before it."""
    standing_seconds: float | None = Field(default=None, gt=0, le=10)
    """How long they stand still before they are killed, by the clock of their node."""

    @model_validator(mode="after")
    def _only_a_kill_has_a_standstill_before_it(self) -> Self:
        if self.standing_seconds and self.signal != "KILL":
            raise ValueError("standing_seconds goes with `signal: KILL`; what is stopped stands on")
        return self

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Have the agent send it, once it is time, and the engine is as busy as it is to be."""
        if self.after_seconds:
            pause(self.after_seconds, why="by the fault's definition this long lies in between")
        if self.amid_streams:
            self._await_streams(world, entry.target)
        return super().fire(world, entry)

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return whom, and which signal."""
        del world
        if self.service:
            return {"service": self.service, **self._how()}
        whom = {"pod_uid": target.uid, "container_id": target.container_id}
        return {"process": self.process, "or_all": True, **whom, **self._how()}

    def _how(self) -> dict[str, object]:
        standing = self.standing_seconds
        return {"signal": self.signal} | ({"standing_seconds": standing} if standing else {})

    def _await_streams(self, world: World, target: Target) -> None:
        try:
            until(
                lambda: engine_counts.running(world, target) >= self.amid_streams,
                within_seconds=world.profile.waits.injection_seconds,
                what=f"{self.amid_streams} requests running in {target.name}",
                excused_seconds=world.cluster.silent_seconds,
            )
        except HarnessError as error:
            raise FaultNotInjected(f"{target} got no signal: {error}") from error
