"""Undoing: one entry, everything of any earlier run, and the proof that it is undone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from hotfire.chaos import blast, lease, undo
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.blast import World
from hotfire.chaos.undo import State, Undo, UndoEntry
from hotfire.cluster import RUN_LABEL, Cluster
from hotfire.errors import ClusterError, HarnessError
from hotfire.patience import Tell
from hotfire.profile import TargetProfile
from hotfire.waiting import until

_PRIORITY_API: Final = "scheduling.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """One thing that was undone, or could not be."""

    entry_id: str
    fault: str
    verified: bool
    """Whether it was seen to be undone; false is a broken target."""
    detail: str


class Way(Protocol):
    """One way to undo; safe to repeat, harmless where nothing was injected."""

    def __call__(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str: ...


def heal_on_node(world: World, entry: UndoEntry, *, within_seconds: float) -> str:
    """Have the node's agent undo the entry; an agent that is gone is started again first.

    Raises:
        HarnessError: the node is not healed, or its agent does not answer.
    """
    node = entry.undo.args["node"]
    if node not in world.agent.nodes():
        world.agent.deploy(run_id=entry.run_id)
    if problems := world.agent.heal(node, entry.id):
        raise HarnessError("; ".join(problems))
    until(
        lambda: entry.id not in {one.id for one in world.agent.open_entries(node)},
        within_seconds=within_seconds,
        what=f"no open entry {entry.id} on {node}",
        excused_seconds=world.cluster.silent_seconds,
    )
    return f"node {node} says entry {entry.id} is undone"


def await_replacement(world: World, entry: UndoEntry, *, within_seconds: float) -> str:
    """Wait until as many engines are Ready as before; controllers repair this, we only look.

    Raises:
        HarnessError: they are not, in time.
    """
    wanted = int(entry.undo.args["ready"])
    until(
        lambda: ready_engines(world) >= wanted,
        within_seconds=within_seconds,
        what=f"{wanted} Ready engine pods in {world.profile.namespace}",
        poll_seconds=1.0,
        excused_seconds=world.cluster.silent_seconds,
    )
    return f"{wanted} engine pods are Ready"


def heal_on_node_and_await(world: World, entry: UndoEntry, *, within_seconds: float) -> str:
    """Undo on the node, then wait for the engine it cost."""
    undone = heal_on_node(world, entry, within_seconds=within_seconds)
    return f"{undone}; {await_replacement(world, entry, within_seconds=within_seconds)}"


WAYS: Final[dict[str, Way]] = {
    "agent": heal_on_node,
    "replacement": await_replacement,
    "agent-and-replacement": heal_on_node_and_await,
}


def way_for(plan: blast.Plan, *, entry_id: str) -> Undo:
    """Return how the fault of a plan is undone."""
    ready = str(len(plan.targets) + len(plan.bystanders))
    func = {"Pod": "replacement", "Uplink": "agent", "Device": "agent-and-replacement"}
    args = {"node": plan.target.node, "entry": entry_id, "ready": ready}
    return Undo(func=func[plan.radius.kind], args=args)


def ready_engines(world: World) -> int:
    """Return how many engine pods are Ready and staying."""
    pods = blast.engines(world.cluster, world.profile)
    return sum(pod.ready and not pod.deleting for pod in pods)


def heal_entry(world: World, entry: UndoEntry, *, within_seconds: float | None = None) -> Healed:
    """Undo one entry and prove it; never raises for what could not be undone.

    The default deadline is the time a pod may take to get Ready, for a fault may have cost one.
    """
    way = WAYS.get(entry.undo.func)
    if way is None:
        detail = f"this version knows no way {entry.undo.func!r}; use the one of run {entry.run_id}"
        return Healed(entry_id=entry.id, fault=entry.fault, verified=False, detail=detail)
    try:
        limit = within_seconds or world.profile.waits.pod_ready_seconds
        detail = way(world, entry, within_seconds=limit)
    except HarnessError as error:
        return Healed(entry_id=entry.id, fault=entry.fault, verified=False, detail=str(error))
    return Healed(entry_id=entry.id, fault=entry.fault, verified=True, detail=detail)


def open_entries(
    profile: TargetProfile, *, runs: Path | None = None, tell: Tell | None = None
) -> list[UndoEntry]:
    """Return what is not healed, newest first, from run directories and from the cluster.

    Args:
        profile: The target; faults of other targets are not told.
        runs: Folder of run directories on this machine; None: only the cluster's copies.
        tell: Hears of it while the API server is silent.
    """
    cluster = Cluster.connect(profile, tell=tell)
    uid = cluster.uid()
    mine = [entry for entry in _on_disk(runs) if entry.cluster_uid == uid]
    return undo.still_open([*mine, *undo.copies(cluster, profile.system_namespace)])


def heal(
    profile: TargetProfile,
    *,
    now: bool,
    runs: Path | None = None,
    keep_namespaces: bool = False,
    tell: Tell | None = None,
) -> list[Healed]:
    """Undo everything any earlier run left in the target, and prove it; safe to repeat.

    It needs no run directory: the copies in the cluster and the nodes' own entries suffice.

    Args:
        profile: The target.
        now: End a run that is still alive, too: its lease is deleted, so that it stops and heals.
        runs: Folder of run directories, whose journals are then marked; None: the cluster's copies.
        keep_namespaces: Keep the namespaces of earlier runs, agents included.
        tell: Hears of it while the API server is silent.

    Raises:
        HarnessError: a run is alive and ``now`` is false, or the cluster does not answer.
    """
    cluster = Cluster.connect(profile, tell=tell)
    world = World(cluster=cluster, agent=AgentClient(cluster, profile), profile=profile)
    namespace = profile.system_namespace
    _stop_runner(cluster, namespace, now=now)
    left = open_entries(profile, runs=runs, tell=tell)
    done = [_heal_one(world, entry, runs) for entry in left]
    done += [one for node in world.agent.nodes() for one in _heal_node(world, node)]
    if not keep_namespaces and all(one.verified for one in done):
        done += _remove_namespaces(world)
    return done


def _heal_one(world: World, entry: UndoEntry, runs: Path | None) -> Healed:
    namespace = world.profile.system_namespace
    healed = heal_entry(world, entry)
    if healed.verified:
        marked = entry.model_copy(update={"state": State.HEALED})
        for path in _journals(runs):
            if entry.id in {one.id for one in undo.still_open(undo.read(path))}:
                undo.append(path, marked)
        world.cluster.delete("ConfigMap", namespace, undo.copy_name(entry.id))
    return healed


def _heal_node(world: World, node: str) -> list[Healed]:
    """Undo what only the node itself still knows of."""
    try:
        left = world.agent.open_entries(node)
        problems = world.agent.heal(node) if left else []
    except HarnessError as error:
        return [Healed(entry_id=node, fault="agent", verified=False, detail=str(error))]
    return [
        Healed(
            entry_id=entry.id,
            fault=entry.op,
            verified=not any(problem.startswith(entry.id) for problem in problems),
            detail="; ".join(problems) or f"undone on node {node}",
        )
        for entry in left
    ]


def _stop_runner(cluster: Cluster, namespace: str, *, now: bool) -> None:
    held = lease.holder(cluster, namespace)
    if held is None:
        return
    if held.alive and not now:
        raise HarnessError(
            f"run {held.run_id} is alive (renewed {held.renewed_at:%H:%M:%S} UTC);"
            " wait for it, or end it with `hotfire heal --now`"
        )
    lease.release(cluster, namespace)


def _remove_namespaces(world: World) -> list[Healed]:
    cluster, waits = world.cluster, world.profile.waits
    if world.agent.nodes():
        world.agent.remove()
    names = [one["metadata"]["name"] for one in cluster.list("Namespace", selector=RUN_LABEL)]
    for name in names:
        cluster.delete_namespace(name, pods_grace_seconds=1)
    # The one kind of the reference stack that lies in no namespace.
    for one in cluster.list("PriorityClass", selector=RUN_LABEL, api_version=_PRIORITY_API):
        cluster.delete("PriorityClass", None, one["metadata"]["name"], api_version=_PRIORITY_API)
    return [_gone(cluster, name, waits.pod_gone_seconds) for name in names]


def _gone(cluster: Cluster, name: str, within_seconds: float) -> Healed:
    try:
        until(
            lambda: cluster.get("Namespace", None, name) is None,
            within_seconds=within_seconds,
            what=f"namespace {name} gone",
            poll_seconds=1.0,
        )
    except ClusterError:
        raise
    except HarnessError as error:
        return Healed(entry_id=name, fault="namespace", verified=False, detail=str(error))
    return Healed(entry_id=name, fault="namespace", verified=True, detail=f"{name} is removed")


def _journals(runs: Path | None) -> list[Path]:
    return sorted(runs.glob("*/journals/undo.jsonl")) if runs else []


def _on_disk(runs: Path | None) -> list[UndoEntry]:
    # `latest` is a link to one of them: an entry seen twice is still one entry.
    return [entry for path in _journals(runs) for entry in undo.read(path)]
