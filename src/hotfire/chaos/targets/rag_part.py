"""A part of the retrieval-augmented application, such as its vector store."""

from typing import Literal

from hotfire.chaos.parts import labels_of
from hotfire.chaos.plan import World
from hotfire.chaos.targets.component import KINDS, PartWord, workload_target
from hotfire.chaos.written import Target
from hotfire.cluster import Pod, replicated
from hotfire.errors import HarnessError
from hotfire.rag import Part


class RagPart(PartWord):
    """The workload that makes the pods of that part."""

    word: Literal["rag-part"] = "rag-part"
    part: Part

    def target(self, world: World) -> Target:
        """Return the workload of that part."""
        pod = pods_of(world, self.part)[0]
        found = world.cluster.get("Pod", pod.namespace, pod.name)
        if found is None:
            raise HarnessError(f"{pod.name}, a pod of the {self.part}, has just gone")
        owner = replicated(world.cluster, found)
        if owner.kind.resource not in KINDS:
            raise HarnessError(
                f"rag.parts.{self.part}: its pods are those of {owner}, which is not scaled here"
            )
        return workload_target(owner.document, owner.kind.resource)


def pods_of(world: World, part: Part) -> list[Pod]:
    """Return the pods of a part.

    Raises:
        HarnessError: it is not declared whose they are, or there is none.
    """
    profile = world.profile
    selector = labels_of(profile.rag.parts if profile.rag else {}, part, section="rag")
    pods = world.cluster.pods(profile.namespace, selector)
    if not (there := [pod for pod in pods if not pod.over]):
        raise HarnessError(f"rag.parts.{part} takes no pod in {profile.namespace}")
    return there
