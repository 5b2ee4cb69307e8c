"""The blast radius: who exactly will be hit, and the proof that nobody else needs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hotfire.chaos import lease, undo
from hotfire.chaos.agent_client import AgentClient, BfdSession
from hotfire.chaos.reach import shown_reachable
from hotfire.chaos.undo import Record
from hotfire.cluster import Cluster, Pod, selects
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile

Kind = Literal["Pod", "Uplink", "Device"]


class BlastRadius(Record):
    """What an experiment may hit, as its file declares."""

    kind: Kind
    """What is hit: a pod, one uplink of a pod's node, or the accelerator of a pod."""
    selector: Literal["engine"]
    """Whose: the profile's engine pods. Mandatory, so that no default can select everything."""
    at_most: int = Field(default=1, ge=1)
    """How many."""
    survivors: int = Field(default=1, ge=1)
    """How many of the same must be left unharmed and ready."""


class Target(Record):
    """One thing that will be hit, by uid."""

    namespace: str
    pod: str
    uid: str
    node: str
    container_id: str
    restarts: int
    link: str = ""

    def __str__(self) -> str:
        """Return it as a person would name it."""
        where = f"link {self.link} of node {self.node}, under " if self.link else ""
        return f"{where}pod {self.namespace}/{self.pod} (uid {self.uid})"


class Plan(Record):
    """Who will be hit and who must not be."""

    experiment: str
    radius: BlastRadius
    targets: tuple[Target, ...]
    bystanders: tuple[Target, ...]
    """Engine pods that were Ready beside the targets."""
    before: tuple[str, ...] = ()
    """Uids of every engine pod that was there when this was planned, whatever its state."""

    @property
    def target(self) -> Target:
        """The one target of an experiment that has one."""
        return self.targets[0]


class Proof(Record):
    """One condition that was found to hold before firing."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What planning looks at: the cluster, its nodes' agents and what the operator allows."""

    cluster: Cluster
    agent: AgentClient
    profile: TargetProfile


def resolve(world: World, experiment: str, radius: BlastRadius) -> Plan:
    """Return who will be hit: the first Ready engine pods by name, so that a plan is repeatable.

    Raises:
        HarnessError: there are too few Ready engine pods for targets and survivors.
    """
    profile = world.profile
    pods = engines(world.cluster, profile)
    ready = [pod for pod in pods if pod.serving]
    needed = radius.at_most + (radius.survivors if radius.kind != "Uplink" else 0)
    if len(ready) < needed:
        seen = f"{len(ready)} Ready engine pods match {profile.engine.label_selector}"
        raise HarnessError(f"{experiment} needs {needed} in {profile.namespace}, {seen}")
    link = ""
    if radius.kind == "Uplink":
        if len(profile.fabric.uplinks) <= radius.survivors:
            raise HarnessError(f"{experiment} needs {radius.survivors + 1} links in fabric.uplinks")
        link = profile.fabric.uplinks[0]
    chosen, others = ready[: radius.at_most], ready[radius.at_most :]
    return Plan(
        experiment=experiment,
        radius=radius,
        targets=tuple(_target(pod, profile, link) for pod in chosen),
        bystanders=tuple(_target(pod, profile) for pod in others),
        before=tuple(pod.uid for pod in pods),
    )


def engines(cluster: Cluster, profile: TargetProfile) -> list[Pod]:
    """Return the engine pods, by name."""
    return cluster.pods(profile.namespace, profile.engine.selector)


def prove(world: World, plan: Plan) -> list[Proof]:
    """Return what was shown to hold; whoever fires without it does so blindly.

    Raises:
        HarnessError: a condition does not hold; the message names it. Nothing was changed.
    """
    checks: tuple[tuple[str, Callable[[World, Plan], str]], ...] = (
        ("size", _size),
        ("allowed namespaces", _allowed),
        ("writes accepted", _accepted),
        ("capacity left", _capacity),
        ("nothing else broken", _quiet),
    )
    proofs = []
    for name, check in checks:
        try:
            proofs.append(Proof(name=name, detail=check(world, plan)))
        except HarnessError as error:
            raise HarnessError(f"{plan.experiment} is refused, {name}: {error}") from error
    return proofs


def resolve_again(cluster: Cluster, target: Target) -> Pod:
    """Return the target's pod at the moment of firing.

    Raises:
        HarnessError: it is gone, re-created under the name, moved, or not Ready any more.
    """
    pod = cluster.pod(target.namespace, target.pod)
    if pod is None or (pod.uid, pod.node) != (target.uid, target.node):
        found = f"now uid {pod.uid} on {pod.node}" if pod else "gone"
        raise HarnessError(f"the plan's {target} is not there any more: {found}; nothing was fired")
    if not pod.serving:
        raise HarnessError(f"the plan's {target} is not Ready any more; nothing was fired")
    if target.container_id not in {one.container_id for one in pod.containers}:
        raise HarnessError(f"the plan's {target} was restarted since; nothing was fired")
    return pod


def _size(_: World, plan: Plan) -> str:
    if not 0 < len(plan.targets) <= plan.radius.at_most:
        raise HarnessError(f"{len(plan.targets)} targets, allowed are 1 to {plan.radius.at_most}")
    return f"{len(plan.targets)} of at most {plan.radius.at_most}: " + _names(plan.targets)


def _allowed(world: World, plan: Plan) -> str:
    allowed = world.profile.allowed_namespaces
    if outside := {target.namespace for target in plan.targets} - set(allowed):
        raise HarnessError(f"{', '.join(sorted(outside))} is not in allowed_namespaces")
    return ", ".join(allowed)


def _accepted(world: World, plan: Plan) -> str:
    for target in plan.targets:
        if plan.radius.kind == "Pod":
            world.cluster.delete(
                "Pod", target.namespace, target.pod, uid=target.uid, grace_seconds=0, dry_run=True
            )
        else:
            world.agent.call(target.node, "ping")
    writer = "the API server, in a dry run" if plan.radius.kind == "Pod" else "the nodes' agents"
    return f"accepted by {writer}"


def _capacity(world: World, plan: Plan) -> str:
    if plan.radius.kind == "Uplink":
        return "; ".join(_other_uplinks(world, target, plan.radius) for target in plan.targets)
    if len(plan.bystanders) < plan.radius.survivors:
        raise HarnessError(f"{len(plan.bystanders)} survivors, needed {plan.radius.survivors}")
    pods = engines(world.cluster, world.profile)
    spared = still_serving(pods, plan)
    how = shown_reachable(world.cluster, spared, pods)
    if plan.radius.kind == "Device":
        _exclusive(world, plan)
    _disruptions(world, plan)
    return f"survivors, {how}: {_names(plan.bystanders)}"


def still_serving(pods: Sequence[Pod], plan: Plan) -> list[Pod]:
    """Return the bystanders among these pods.

    Raises:
        HarnessError: so many of them are gone, ending or not Ready that too few would be left.
    """
    uids = {one.uid for one in plan.bystanders}
    found = [pod for pod in pods if pod.uid in uids and pod.serving]
    if len(found) < min(plan.radius.survivors, len(uids)):
        lost = [one for one in plan.bystanders if one.uid not in {pod.uid for pod in found}]
        raise HarnessError(f"survivors are not Ready any more: {_names(lost)}; nothing was fired")
    return found


def _other_uplinks(world: World, target: Target, radius: BlastRadius) -> str:
    names = [link for link in world.profile.fabric.uplinks if link != target.link]
    states = [world.agent.link_state(target.node, link) for link in names]
    carrying = [state.link for state in states if state.carrier and _established(world, state.bfd)]
    if len(carrying) < radius.survivors:
        raise HarnessError(f"node {target.node} would keep {carrying or 'no link'} of {names}")
    return f"node {target.node} keeps {', '.join(carrying)}"


def _established(world: World, sessions: Sequence[BfdSession] | None) -> bool:
    return world.profile.fabric.routing is None or all_up(sessions)


def all_up(sessions: Sequence[BfdSession] | None) -> bool:
    """Return whether a link has BFD sessions and every one is up."""
    return bool(sessions) and all(session.state == "Up" for session in sessions or ())


def _disruptions(world: World, plan: Plan) -> None:
    """Refuse what a PodDisruptionBudget would not allow, though a deletion does not ask it."""
    namespace = world.profile.namespace
    found = world.cluster.list("PodDisruptionBudget", namespace, api_version="policy/v1")
    victims = [resolve_again(world.cluster, target) for target in plan.targets]
    for budget in found:
        selector = (budget.get("spec") or {}).get("selector")
        hit = sum(selects(selector, pod.labels) for pod in victims)
        # Without a status its controller has not counted yet, and allows nothing.
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        if allowed < hit:
            name = budget["metadata"]["name"]
            raise HarnessError(f"PodDisruptionBudget {name} allows {allowed} disruptions")


def _exclusive(world: World, plan: Plan) -> None:
    """Refuse a device that a bystander shares."""
    for target in plan.targets:
        grants = world.agent.device_grants(target.node)
        names = {(target.namespace, target.pod)}
        held = {i for one in grants if (one.namespace, one.pod) in names for i in one.device_ids}
        for other in grants:
            if (other.namespace, other.pod) not in names and held & set(other.device_ids):
                raise HarnessError(f"{other.namespace}/{other.pod} shares {target}'s device")


def _quiet(world: World, plan: Plan) -> str:
    namespace = world.profile.system_namespace
    found = undo.copies(world.cluster, namespace)
    if found.unreadable:
        raise HarnessError(str(found.unreadable[0]))
    if left := found.entries:
        raise HarnessError(f"{left[0].fault} is not healed yet ({left[0].id}); run `hotfire heal`")
    for node in world.agent.nodes():
        if entries := world.agent.open_entries(node):
            raise HarnessError(f"node {node} has the open entry {entries[0].id}")
    held = lease.holder(world.cluster, namespace)
    return f"no open undo entry; the lease is held by {held.run_id if held else 'nobody'}"


def _target(pod: Pod, profile: TargetProfile, link: str = "") -> Target:
    container = pod.container(profile.engine.container)
    if container is None:
        raise HarnessError(f"{pod.name} has no container {profile.engine.container}")
    return Target(
        namespace=pod.namespace,
        pod=pod.name,
        uid=pod.uid,
        node=pod.node,
        container_id=container.container_id,
        restarts=container.restarts,
        link=link,
    )


def _names(targets: Sequence[Target]) -> str:
    return ", ".join(map(str, targets))
