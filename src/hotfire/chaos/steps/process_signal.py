"""Stops or kills processes: those of an engine's container, or a service's main one."""

from typing import ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from hotfire.chaos import engine_counts
from hotfire.chaos.agent_client import entry_id
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, NodeStep
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import pause, until

STANDS: Final = "T"
"""The kernel's letter for a process that was stopped."""


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
    killed_at_end: bool = False
    """Whether those that stand still are killed at the fault's end, in place of running on. Should
    we die before it, their node lets them run on."""

    @model_validator(mode="after")
    def _only_what_stands_still_is_killed_at_the_end(self) -> Self:
        if self.killed_at_end and (self.signal != "STOP" or self.service):
            raise ValueError("killed_at_end goes with `signal: STOP`, and with no service")
        return self

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
        return {**self._whom(target), **self._how()}

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Have the agent undo it; what is to be killed at the end and stands still is killed."""
        killed = self._kill_standing(world, entry) if self.killed_at_end else ""
        return killed + super().end(world, entry, within_seconds=within_seconds)

    def _whom(self, target: Target) -> dict[str, object]:
        whom = {"pod_uid": target.uid, "container_id": target.container_id}
        return {"process": self.process, "or_all": True, **whom}

    def _kill_standing(self, world: World, entry: UndoEntry) -> str:
        agent, target, kill = world.agent, entry.target, entry_id("kill")
        # An agent that was started anew has let them run on.
        if not agent.is_ours(target.node):
            return ""
        states = agent.process_states(target.node, entry.id)
        if not any(one.state == STANDS for one in states):
            return ""
        agent.fire(target.node, self.operation, kill, signal="KILL", **self._whom(target))
        agent.heal(target.node, kill)
        return f"what stood still of {target} was killed; "

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
