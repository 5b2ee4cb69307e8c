"""Resets the open connections of others to an engine, each once; new ones live."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World, resolve_again
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target


class ConnectionsReset(NodeStep):
    """TCP resets to both ends."""

    word: Literal["connections-reset"] = "connections-reset"
    operation: ClassVar[str] = "net.reset"

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return where the engine listens."""
        address = resolve_again(world.cluster, target).ip
        return {"address": address, "port": world.profile.engine.port}
