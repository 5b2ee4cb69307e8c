"""Lets no new pod come to a node; what runs there stays."""

import time
from typing import ClassVar, Literal

from chaosk8s.node.actions import cordon_node

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.toolkit import act
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.cluster import Node
from hotfire.errors import FaultNotInjected, HarnessError


class Cordon(Step):
    """A node that is not scheduled to."""

    word: Literal["cordon"] = "cordon"
    lives_on: ClassVar[Life] = "cluster"

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept it in a dry run."""
        _patch(world, target, unschedulable=True, dry_run=True)
        return "the API server, in a dry run"

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return whether it was cordoned before."""
        return {"unschedulable": str(_there(world, target).unschedulable).lower()}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that it takes pods so far."""
        if _there(world, target).unschedulable:
            raise HarnessError(f"{target} is cordoned already; nothing was fired")

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return that this very node may be patched."""
        names = {"resources": ["nodes"], "resourceNames": [target.name]}
        return [{"apiGroups": [""], "verbs": ["get", "patch"], **names}]

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Cordon it, if it is still that very node."""
        at_ns = time.time_ns()
        try:
            _there(world, entry.target)
        except HarnessError as error:
            raise FaultNotInjected(str(error)) from error
        act(world, cordon_node, name=entry.target.name)
        return Fired("the API server took the node's cordon", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Let pods come to it again, where they could before."""
        del within_seconds
        target = entry.target
        if entry.undo.former.get("unschedulable") == "true":
            return f"{target} was cordoned before"
        if _node(world, target) is None:
            return f"{target} is gone, and with it what was to be undone"
        _patch(world, target, unschedulable=None)
        return f"{target} takes pods again"


def _node(world: World, target: Target) -> Node | None:
    found = world.cluster.get("Node", None, target.name)
    return Node.parse(found) if found and found["metadata"]["uid"] == target.uid else None


def _there(world: World, target: Target) -> Node:
    found = _node(world, target)
    if found is None:
        raise HarnessError(f"{target} is not there any more; nothing was fired")
    return found


def _patch(
    world: World, target: Target, *, unschedulable: bool | None, dry_run: bool = False
) -> None:
    # With the uid the server refuses another object under the same name.
    body = {"metadata": {"uid": target.uid}, "spec": {"unschedulable": unschedulable}}
    world.cluster.patch("Node", None, target.name, body, dry_run=dry_run)
