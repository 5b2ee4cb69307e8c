"""The Service by which other parts of a retrieval-augmented application reach one of its parts."""

from typing import Literal

from hotfire.chaos.plan import World
from hotfire.chaos.services import RESOURCE, service_before
from hotfire.chaos.targets.component import PartWord
from hotfire.chaos.targets.rag_part import pods_of
from hotfire.chaos.written import Target
from hotfire.rag import Part


class ServiceOfRagPart(PartWord):
    """The one Service with an address that leads to that part's pods."""

    word: Literal["service-of-rag-part"] = "service-of-rag-part"
    part: Part

    def target(self, world: World) -> Target:
        """Return that Service, and a node that it is asked from: that of one of its pods."""
        pods = pods_of(world, self.part)
        metadata = service_before(world, pods)["metadata"]
        return Target(
            kind="service",
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            node=pods[0].node,
            resource=RESOURCE,
        )
