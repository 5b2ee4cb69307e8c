"""Leaves an engine a share of the CPU time that it uses."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target


class CpuQuota(NodeStep):
    """A CPU quota on the engine's container."""

    word: Literal["cpu-quota"] = "cpu-quota"
    operation: ClassVar[str] = "cgroup.cpu_quota"
    share: float = Field(gt=0, lt=1)
    """Of what it used just before, as the agent measures it."""

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the container and the share."""
        del world
        whom = {"pod_uid": target.uid, "container_id": target.container_id}
        return {"share": self.share, **whom}
