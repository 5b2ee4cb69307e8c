"""Drops whatever goes between a machine and the cluster's Services: DNS, webhooks, add-ons."""

from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import NodeStep
from hotfire.chaos.written import Target


class ServicesBlock(NodeStep):
    """A machine to which no Service answers; pods and nodes still reach it, and it reaches them."""

    word: Literal["services-block"] = "services-block"
    operation: ClassVar[str] = "net.block"
    networks: tuple[str, ...]
    """The IPv4 networks of Services."""

    def order(self, world: World, target: Target) -> dict[str, object]:
        """Return the networks."""
        del world, target
        return {"between": [], "and": list(self.networks)}
