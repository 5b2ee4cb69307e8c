"""A part of the retrieval-augmented application, such as its vector store."""

from typing import Literal

from hotfire.chaos.plan import World
from hotfire.chaos.targets.component import KINDS, PartWord, workload_target
from hotfire.chaos.written import Target
from hotfire.cluster import replicated
from hotfire.errors import HarnessError
from hotfire.rag import Part


class RagPart(PartWord):
    """The workload that makes the pods of that part."""

    word: Literal["rag-part"] = "rag-part"
    part: Part

    def target(self, world: World) -> Target:
        """Return the workload of that part."""
        profile, field = world.profile, f"rag.parts.{self.part}"
        if profile.rag is None or self.part not in profile.rag.parts:
            raise HarnessError(f"set {field} to the labels of its pods")
        pods = world.cluster.pods(profile.namespace, profile.rag.parts[self.part])
        found = world.cluster.get("Pod", profile.namespace, pods[0].name) if pods else None
        if found is None:
            raise HarnessError(f"{field} takes no pod in {profile.namespace}")
        owner = replicated(world.cluster, found)
        if owner.kind.resource not in KINDS:
            raise HarnessError(f"{field}: its pods are those of {owner}, which is not scaled here")
        return workload_target(owner.document, owner.kind.resource)
