"""Stops or kills processes: those of an engine's container, or a service's main one."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target


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

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return whom, and which signal."""
        del world
        if self.service:
            return {"signal": self.signal, "service": self.service}
        whom = {"pod_uid": target.uid, "container_id": target.container_id}
        return {"signal": self.signal, "process": self.process, "or_all": True, **whom}
