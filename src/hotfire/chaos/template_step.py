"""What steps have in common that roll a Deployment out with another pod template."""

import time
from abc import abstractmethod
from functools import partial
from typing import ClassVar, Literal

from hotfire.agent.janitor import CHANGED, former_template, mark_of, template_patch
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.targets.component import KINDS, workload_of
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Kind, Target
from hotfire.cluster import Document
from hotfire.errors import Conflict, FaultNotInjected, HarnessError
from hotfire.waiting import until

# Its controller writes the status of a Deployment while we read and write it.
_WRITE_SECONDS = 10.0


class TemplateStep(Step):
    """Another pod template, marked with the entry's id: each pod made of it bears that mark.

    By the mark it is put back once and by nobody twice: what its owner rolls out later stays.
    """

    marks: ClassVar[Literal["template", "object"]] = "template"
    """What bears the mark. One on the object replaces no pod when it goes."""
    lives_on: ClassVar[Life] = "cluster"
    takes: ClassVar[frozenset[Kind] | None] = frozenset({"workload"})

    @abstractmethod
    def changes(self, world: World, found: Document) -> Document:
        """Return what is different in the template beside the mark, as a merge patch.

        Raises:
            HarnessError: nobody knows.
        """

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept it in a dry run."""
        found = there(world, target)
        _write(world, target, self._marked(world, found, ""), dry_run=True)
        return "the API server, in a dry run"

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that its last roll-out is over, and that it was none of ours."""
        found = there(world, target)
        if left := mark_of(found["spec"]["template"]) or mark_of(found):
            raise HarnessError(f"{target} still has the pod template of {left}: run `hotfire heal`")
        if not complete(found):
            raise HarnessError(f"{target} is being rolled out just now; nothing was fired")

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return that this very workload may be patched."""
        names = {"resources": [target.resource], "resourceNames": [target.name]}
        return [{"apiGroups": ["apps"], "verbs": ["get", "patch"], **names}]

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Write the template, if it is still that very object."""
        at_ns = time.time_ns()

        def write() -> bool:
            found = there(world, entry.target)
            body = self._marked(world, found, entry.id)
            return _written(partial(_write, world, entry.target, body))

        try:
            until(write, within_seconds=_WRITE_SECONDS, what=f"{entry.target} written")
        except HarnessError as error:
            raise FaultNotInjected(f"{entry.target} was not rolled out: {error}") from error
        return Fired("the API server took the new pod template", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Give it its former template again; its own controller then makes the pods."""
        target, document = entry.target, entry.model_dump(mode="json")

        def put_back() -> str:
            found = workload_of(world, target)
            if found is None:
                return f"{target} is gone, and with it what was to be undone"
            body = former_template(found, document)
            if body is None:
                return f"{target} has its former pod template"
            # Looked at once more: whoever wrote meanwhile may have rolled out something else.
            _written(partial(_write, world, target, body))
            return ""

        return until(put_back, within_seconds=within_seconds, what=f"{target} put back")

    def _marked(self, world: World, found: Document, mark: str) -> Document:
        changes, metadata = self.changes(world, found), {"annotations": {CHANGED: mark}}
        if self.marks == "template":
            return template_patch(found, changes | {"metadata": metadata})
        patch = template_patch(found, changes)
        return patch | {"metadata": patch["metadata"] | metadata}


def there(world: World, target: Target) -> Document:
    """Return a workload as it is now.

    Raises:
        HarnessError: that very object is gone.
    """
    found = workload_of(world, target)
    if found is None:
        raise HarnessError(f"{target} is not there any more")
    return found


def containers(found: Document) -> list[Document]:
    """Return the containers of a Deployment's pod template."""
    return list(found["spec"]["template"]["spec"]["containers"])


def complete(found: Document) -> bool:
    """Return whether a Deployment has been rolled out: all pods of its template, all of them Ready.

    Source: the conditions of `kubectl rollout status`, and Ready pods beside.
    """
    status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
    names = ("replicas", "updatedReplicas", "readyReplicas")
    seen = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
    return bool(seen and all(status.get(name, 0) == wanted for name in names))


def _write(world: World, target: Target, body: Document, *, dry_run: bool = False) -> None:
    place = (KINDS[target.resource], target.namespace, target.name, body)
    world.cluster.patch(*place, api_version="apps/v1", dry_run=dry_run)


def _written(write: partial[None]) -> bool:
    """Return whether it was written; it was not where somebody else wrote since it was read."""
    try:
        write()
    except Conflict:
        return False
    return True
