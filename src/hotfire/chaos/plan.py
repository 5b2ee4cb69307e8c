"""Whom a fault will hit, whom it must not, and the world that both are looked up in."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import Field

from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.written import Target, Written
from hotfire.cluster import Cluster, Container, Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory


class Plan(Written):
    """Who will be hit and who must not be."""

    experiment: str
    at_most: int = Field(default=1, ge=1)
    """How many may be hit."""
    survivors: int = Field(default=1, ge=0)
    """How many bystanders must be left unharmed and Ready."""
    targets: tuple[Target, ...]
    bystanders: tuple[Target, ...] = ()
    """Engine pods that were Ready beside the targets, outside their failure domains."""
    before: tuple[str, ...] = ()
    """Uids of every engine pod that was there when this was planned, whatever its state."""
    ready: int = 0
    """How many engine pods must be Ready again before it counts as healed; 0: none are touched."""
    parts: tuple["Plan", ...] = ()
    """The plans that it is made of, where faults overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What planning looks at: the cluster, its nodes' agents and what the operator allows."""

    cluster: Cluster
    agent: AgentClient
    profile: TargetProfile
    run: RunDirectory | None = None
    """Where a step may record what it does beside; None outside a run."""


def engines(cluster: Cluster, profile: TargetProfile) -> list[Pod]:
    """Return the engine pods, by name."""
    return cluster.pods(profile.namespace, profile.engine.selector)


def ready_engines(world: World) -> int:
    """Return how many engine pods are Ready and staying."""
    return sum(pod.serving for pod in engines(world.cluster, world.profile))


def pod_target(pod: Pod, profile: TargetProfile, **besides: str) -> Target:
    """Return an engine pod, or what hangs on it, as a target.

    Raises:
        HarnessError: it has no engine container.
    """
    container = pod.container(profile.engine.container)
    if container is None:
        raise HarnessError(f"{pod.name} has no container {profile.engine.container}")
    return _target(pod, container, **besides)


def other_pod_target(pod: Pod) -> Target:
    """Return a pod that is no engine as a target, known by its first container.

    Raises:
        HarnessError: it has no container yet.
    """
    if not pod.containers:
        raise HarnessError(f"{pod.namespace}/{pod.name} has no container yet")
    return _target(pod, pod.containers[0])


def _target(pod: Pod, container: Container, **besides: str) -> Target:
    facts = {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "node": pod.node,
        "container_id": container.container_id,
        "restarts": container.restarts,
    }
    return Target.model_validate(facts | besides)


def still_there(cluster: Cluster, target: Target) -> Pod:
    """Return the target's pod, to be asked.

    Raises:
        HarnessError: it is gone, or another one has its name.
    """
    pod = cluster.pod(target.namespace, target.name)
    if pod is None or pod.uid != target.uid:
        raise HarnessError(f"{target} is gone, so nobody can ask it")
    return pod


def resolve_again(cluster: Cluster, target: Target) -> Pod:
    """Return the target's pod at the moment of firing.

    Raises:
        HarnessError: it is gone, re-created under the name, moved, or not Ready any more.
    """
    pod = cluster.pod(target.namespace, target.name)
    if pod is None or (pod.uid, pod.node) != (target.uid, target.node):
        found = f"now uid {pod.uid} on {pod.node}" if pod else "gone"
        raise HarnessError(f"the plan's {target} is not there any more: {found}; nothing was fired")
    if not pod.serving:
        raise HarnessError(f"the plan's {target} is not Ready any more; nothing was fired")
    if target.container_id not in {one.container_id for one in pod.containers}:
        raise HarnessError(f"the plan's {target} was restarted since; nothing was fired")
    return pod


def names(targets: Iterable[Target]) -> str:
    """Return targets in words."""
    return ", ".join(map(str, targets))
