"""Lets a node, its pods included, have little of what the store of the engines' model gives."""

from typing import ClassVar, Literal

from pydantic import Field

from hotfire.chaos.model_store import model_url
from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Kind, Target


class StoreSlow(NodeStep):
    """A share of what the store gives at the moment of firing."""

    word: Literal["store-slow"] = "store-slow"
    operation: ClassVar[str] = "store.slow"
    takes: ClassVar[frozenset[Kind] | None] = frozenset({"node"})
    percent: float = Field(gt=0, lt=100)
    fetch_seconds: float = Field(gt=0, le=600)
    """How long the largest file of the model takes at least."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return that the agent answers; the store must be known."""
        model_url(world)
        return super().rehearse(world, target)

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return where the model is, and how much of it may come."""
        del target
        limits = {"percent": self.percent, "fetch_seconds": self.fetch_seconds}
        return {"url": model_url(world), **limits}
