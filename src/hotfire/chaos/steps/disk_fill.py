"""Fills a node's file system, so that its kubelet runs short of it."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.plan import World
from hotfire.chaos.readings import Room, room
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class DiskFill(NodeStep):
    """A file without a name, whose blocks are free again the moment its agent ends."""

    word: Literal["disk-fill"] = "disk-fill"
    operation: ClassVar[str] = "disk.fill"
    path: str = Field(pattern="^/")
    """A directory of the file system that is filled."""
    free_percent: float = Field(gt=0, lt=50)
    """How much of it is left."""
    at_most_bytes: float = Field(default=1e12, gt=0)
    """The largest file: a disk that many need is not filled by mistake."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return that the agent answers; there must be more free than is to be left."""
        self.require_whole(world, target)
        return super().rehearse(world, target)

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that it is not as full already."""
        there = room(world.agent, target.node, self.path)
        if there.free_bytes <= self._left(there):
            raise HarnessError(
                f"{self.path} of {target.node} is full already: {there.free_bytes} bytes are free"
            )

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return where, and how many bytes are to be left."""
        left = self._left(room(world.agent, target.node, self.path))
        return {"path": self.path, "free_bytes": left, "at_most_bytes": self.at_most_bytes}

    def _left(self, there: Room) -> int:
        return round(there.total_bytes * self.free_percent / 100)
