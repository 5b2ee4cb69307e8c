"""What every step that makes an object of the cluster has in common: it is undone by its deletion.

The object's name follows from the target's, so that the janitor need be allowed no more than to
delete that one; its annotation says whose it is.
"""

import time
from abc import abstractmethod
from typing import ClassVar

from hotfire.agent.janitor import CHANGED, MADE, made_name, mark_of
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.cluster import Document
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import until

_NAMESPACE = "namespace"


class MakingStep(Step):
    """An object that is the fault: it is there as long as the fault lasts."""

    lives_on: ClassVar[Life] = "cluster"
    kind: ClassVar[str]
    namespaced: ClassVar[bool]
    """Whether it lies in a namespace, our own if nothing else is said, or in none."""
    grace_seconds: ClassVar[int] = 0
    """How long it may take to go once it is deleted."""

    @abstractmethod
    def spec(self, world: World, target: Target) -> Document:
        """Return what is particular to it."""

    def document(self, world: World, target: Target, entry_id: str) -> Document:
        """Return the object of an entry."""
        version = self.version(world)
        metadata: Document = {"name": made_name(target.name), "annotations": {CHANGED: entry_id}}
        if namespace := self.namespace(world):
            metadata[_NAMESPACE] = namespace
        spec = self.spec(world, target)
        return {"apiVersion": version, "kind": self.kind, "metadata": metadata, "spec": spec}

    def version(self, world: World) -> str:
        """Return the version of its kind that the cluster serves, the newest of those we know."""
        versions, _, _ = MADE[self.word]
        return next((one for one in versions if world.cluster.serves(self.kind, one)), versions[-1])

    def made(self, world: World, target: Target) -> Document | None:
        """Return the object as it is now."""
        version = self.version(world)
        place = (self.namespace(world), made_name(target.name))
        return world.cluster.get(self.kind, *place, api_version=version)

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server admit it in a dry run."""
        document, namespace = self.document(world, target, "rehearsed"), self.namespace(world)
        answer = world.cluster.would_admit(document, namespace=namespace or "")
        if not answer.accepted:
            raise HarnessError(f"{self.kind} for {target} is not admitted: {answer.message}")
        return "the API server, in a dry run"

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return where it will lie, and in which version."""
        del target
        namespace = self.namespace(world)
        place = {_NAMESPACE: namespace} if namespace else {}
        return place | {"version": self.version(world)}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that none of an earlier fault is left."""
        if found := self.made(world, target):
            name = found["metadata"]["name"]
            raise HarnessError(f"{self.kind} {name} is there already: run `hotfire heal`, or look")

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return that this very object may be deleted."""
        versions, resource, _ = MADE[self.word]
        group = versions[0].rpartition("/")[0]
        names = {"resources": [resource], "resourceNames": [made_name(target.name)]}
        return [{"apiGroups": [group], "verbs": ["get", "delete"], **names}]

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Make it."""
        at_ns = time.time_ns()
        try:
            world.cluster.create(self.document(world, entry.target, entry.id))
        except HarnessError as error:
            raise FaultNotInjected(f"{self.kind} for {entry.target}: {error}") from error
        return Fired(f"the API server took a {self.kind}", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Delete it, if it is of this entry, and see that it is gone."""
        found = self.made(world, entry.target)
        if found is None or mark_of(found) != entry.id:
            return f"no {self.kind} of this fault is there"
        metadata, version = found["metadata"], self.version(world)
        place = (self.kind, metadata.get(_NAMESPACE), metadata["name"])
        options = {"uid": metadata["uid"], "api_version": version}
        world.cluster.delete(*place, **options, grace_seconds=self.grace_seconds)
        until(
            lambda: mark_of(self.made(world, entry.target) or {}) != entry.id,
            within_seconds=within_seconds,
            what=f"no {self.kind} {metadata['name']}",
            excused_seconds=world.cluster.silent_seconds,
        )
        return f"{self.kind} {metadata['name']} is deleted"

    def namespace(self, world: World) -> str | None:
        """Return where it lies; None: in no namespace."""
        return world.profile.system_namespace if self.namespaced else None
