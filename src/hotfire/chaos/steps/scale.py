"""Gives a workload another number of replicas, such as none."""

import time
from typing import ClassVar, Literal

from chaosk8s.deployment.actions import scale_deployment
from chaosk8s.statefulset.actions import scale_statefulset
from pydantic import Field

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.targets.component import KINDS, workload_of
from hotfire.chaos.toolkit import act
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError


class Scale(Step):
    """A Deployment's or StatefulSet's number of replicas."""

    word: Literal["scale"] = "scale"
    lives_on: ClassVar[Life] = "cluster"
    replicas: int = Field(default=0, ge=0)

    def rehearse(self, world: World, target: Target) -> str:
        """Have the API server accept it in a dry run."""
        _patch(world, target, self.replicas, dry_run=True)
        return "the API server, in a dry run"

    def former(self, world: World, target: Target) -> dict[str, str]:
        """Return how many replicas it has."""
        return {"replicas": str(_replicas(world, target))}

    def require_whole(self, world: World, target: Target) -> None:
        """Make sure that it has another number of replicas so far."""
        if _replicas(world, target) == self.replicas:
            raise HarnessError(f"{target} has {self.replicas} replicas already; nothing was fired")

    def rules(self, target: Target) -> list[dict[str, list[str]]]:
        """Return that this very workload may be patched."""
        names = {"resources": [target.resource], "resourceNames": [target.name]}
        return [{"apiGroups": ["apps"], "verbs": ["get", "patch"], **names}]

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Scale it, if it is still that very object."""
        target, at_ns = entry.target, time.time_ns()
        if workload_of(world, target) is None:
            raise FaultNotInjected(f"{target} is gone")
        action = {"deployments": scale_deployment, "statefulsets": scale_statefulset}
        place = {"name": target.name, "ns": target.namespace}
        act(world, action[target.resource], replicas=self.replicas, **place)
        return Fired("the API server took the new number of replicas", at_ns)

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Give it its former number of replicas again."""
        del within_seconds
        target, replicas = entry.target, int(entry.undo.former["replicas"])
        if workload_of(world, target) is None:
            return f"{target} is gone, and with it what was to be undone"
        _patch(world, target, replicas)
        return f"{target} has {replicas} replicas again"


def _replicas(world: World, target: Target) -> int:
    found = workload_of(world, target)
    if found is None:
        raise HarnessError(f"{target} is not there any more; nothing was fired")
    return int((found.get("spec") or {}).get("replicas", 1))


def _patch(world: World, target: Target, replicas: int, *, dry_run: bool = False) -> None:
    # With the uid the server refuses another object under the same name.
    body = {"metadata": {"uid": target.uid}, "spec": {"replicas": replicas}}
    kind = KINDS[target.resource]
    place = (kind, target.namespace, target.name, body)
    world.cluster.patch(*place, api_version="apps/v1", dry_run=dry_run)
