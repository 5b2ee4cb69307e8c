"""Kills the main process of a node's service; whoever supervises it must start it again."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.readings import service
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class ServiceKill(NodeStep):
    """SIGKILL to a service."""

    word: Literal["service-kill"] = "service-kill"
    operation: ClassVar[str] = "process.signal"
    service: str

    def rehearse(self, world: World, target: Target) -> str:
        """Return that the agent answers; the service must run."""
        if service(world.agent, target.node, self.service).pid is None:
            raise HarnessError(f"no service {self.service} runs on {target.node}")
        return super().rehearse(world, target)

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return whom to kill."""
        del world, target
        return {"service": self.service, "signal": "KILL"}
