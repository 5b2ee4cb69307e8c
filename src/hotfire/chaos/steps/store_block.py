"""Drops what goes between a node, its pods included, and the store of the engines' model."""

from typing import ClassVar, Literal

from hotfire.chaos.model_store import store_address
from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Kind, Target


class StoreBlock(NodeStep):
    """No answer from the model store."""

    word: Literal["store-block"] = "store-block"
    operation: ClassVar[str] = "net.block"
    takes: ClassVar[frozenset[Kind] | None] = frozenset({"node"})

    def rehearse(self, world: World, target: Target) -> str:
        """Return that the agent answers; the store must be known."""
        store_address(world)
        return super().rehearse(world, target)

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return address and port of the store."""
        del target
        store = store_address(world)
        return {"between": [], "and": [store.host], "port": store.port}
