"""Changes one field of an object of the platform: what a check needs for the length of a case."""

import json
import time
from typing import ClassVar, Final, Literal

from pydantic import JsonValue

from hotfire.agent.janitor import CHANGED, SCALE, changeable, mark_of
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.cluster import KINDS, Document
from hotfire.errors import FaultNotInjected, HarnessError

_KINDS: Final = {"httproutes": "HTTPRoute", "services": "Service"} | {
    one.resource: one.kind for one in KINDS
}
_VALUE: Final = "value"


class Change(Step):
    """Another value of the field that may be changed, and a mark on the object meanwhile.

    By the mark it is put back once and by nobody twice: what its owner writes later stays.
    """

    word: Literal["change"] = "change"
    lives_on: ClassVar[Life] = "cluster"
    value: JsonValue = None

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept it in a dry run."""
        _patch(world, target, self.value, mark=None, dry_run=True)
        return "the API server, in a dry run"

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return the value that it has, of an object those fields that are to be changed."""
        _, field = changeable(target.resource, target.version)
        found = _found(world, target, SCALE if _by_scale(target) else "") or {}
        return {_VALUE: json.dumps(_like((found.get("spec") or {}).get(field), self.value))}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that no earlier change of it is left."""
        found = _found(world, target)
        if found is None:
            raise HarnessError(f"{target} is not there any more; nothing was changed")
        if mark := mark_of(found):
            raise HarnessError(
                f"{target} bears the annotation {CHANGED}={mark} of a change that was not put back:"
                " run `hotfire heal`, or look, then remove the annotation"
            )

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return that this very object may be patched."""
        version, _ = changeable(target.resource, target.version)
        plural = target.resource.partition("/")[0]
        names = {
            # The mark is on the object itself.
            "resources": list(dict.fromkeys([plural, target.resource])),
            "resourceNames": [target.name],
        }
        return [{"apiGroups": [version.rpartition("/")[0]], "verbs": ["get", "patch"], **names}]

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Write it, if it is still that very object."""
        at_ns = time.time_ns()
        try:
            _patch(world, entry.target, self.value, mark=entry.id)
        except HarnessError as error:
            raise FaultNotInjected(f"{entry.target} was not changed: {error}") from error
        return Fired("the API server took the change", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Give it its former value again."""
        del within_seconds
        target, found = entry.target, _found(world, entry.target)
        if found is None:
            return f"{target} is gone, and with it what was to be undone"
        if mark_of(found) != entry.id:
            return f"{target} is not changed, or was put back before"
        _patch(world, target, json.loads(entry.undo.former[_VALUE]), mark=None)
        return f"{target} has its former {changeable(target.resource, target.version)[1]} again"


def _by_scale(target: Target) -> bool:
    """Return whether it is changed by its ``scale`` subresource."""
    return target.resource.endswith(f"/{SCALE}")


def _kind(target: Target) -> str:
    return target.object_kind or _KINDS[target.resource.partition("/")[0]]


def _found(world: World, target: Target, subresource: str = "") -> Document | None:
    """Return a target, or a subresource of it, as it is now; None where that object is gone."""
    version = changeable(target.resource, target.version)[0]
    found = world.cluster.get(
        _kind(target), target.namespace, target.name, api_version=version, subresource=subresource
    )
    return found if found and found["metadata"]["uid"] == target.uid else None


def _like(value: JsonValue, other: JsonValue) -> JsonValue:
    """Return a value without the fields that another one does not have."""
    if not (isinstance(value, dict) and isinstance(other, dict)):
        return value
    return {key: _like(value.get(key), one) for key, one in other.items()}


def _patch(
    world: World, target: Target, value: JsonValue, *, mark: str | None, dry_run: bool = False
) -> None:
    profile = world.profile
    if target.namespace not in {profile.namespace, *profile.allowed_namespaces}:
        raise HarnessError(f"{target} lies in none of the namespaces that the target file names")
    version, field = changeable(target.resource, target.version)
    place = (_kind(target), target.namespace, target.name)
    for body, subresource in _writes(target, {"spec": {field: value}}, mark):
        world.cluster.patch(
            *place, body, api_version=version, subresource=subresource, dry_run=dry_run
        )


def _writes(target: Target, change: Document, mark: str | None) -> list[tuple[Document, str]]:
    """Return what is patched, one after the other, and of which subresource."""
    # With the uid the server refuses another object under the same name.
    uid = {"uid": target.uid}
    marked: Document = {"metadata": uid | {"annotations": {CHANGED: mark}}}
    if not _by_scale(target):
        return [(marked | change, "")]
    scaled: Document = {"metadata": uid} | change
    # The mark is there first and goes last: who dies in between leaves what will be put back, and
    # the scale of a custom resource does not look at the uid. It is written again at the end: who
    # healed in between has taken it away.
    return [(marked, "")] * bool(mark) + [(scaled, SCALE), (marked, "")]
