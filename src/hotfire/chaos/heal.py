"""Undoing: one entry, everything of any earlier run, and the proof that it is undone."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hotfire.chaos import holders, janitor, undo
from hotfire.chaos.agent_answers import AgentEntry
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import World, ready_engines
from hotfire.chaos.step import step_of
from hotfire.chaos.tenure import JOURNAL
from hotfire.chaos.undo import Found, State, UndoEntry, Unreadable
from hotfire.cluster import Cluster, Estate, Made, refuse_foreign_system
from hotfire.errors import ClusterError, HarnessError, ProfileError, RollbackFailed
from hotfire.patience import Tell
from hotfire.profile import TargetProfile
from hotfire.waiting import until


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """One thing that was undone, or could not be."""

    entry_id: str
    fault: str
    verified: bool
    """Whether it was seen to be undone; false is a broken target."""
    detail: str


def end_all(world: World, entries: Sequence[UndoEntry]) -> list[Healed]:
    """Undo each step, the last one first; nobody waits for what the target must repair itself."""
    return _ended(world, list(reversed(entries)), world.profile.waits.healing_seconds)


def heal_entries(world: World, entries: Sequence[UndoEntry], *, within_seconds: float) -> Healed:
    """Undo all of one fault and prove it, the last step first; never raises for what is left."""
    done = heal_all(world, list(reversed(entries)), within_seconds=within_seconds)
    worst = next((one for one in done if not one.verified), done[0])
    left = [one for one in done if one.verified == worst.verified]
    return replace(worst, detail="; ".join(dict.fromkeys(one.detail for one in left)))


def heal_all(
    world: World, entries: Sequence[UndoEntry], *, within_seconds: float | None = None
) -> list[Healed]:
    """Undo entries in this order and prove each; never raises for what could not be undone.

    All of them are undone before anybody waits for engines: those that one has cost may need the
    end of another. The default deadline is the time a pod may take to get Ready.
    """
    limit = within_seconds or world.profile.waits.pod_ready_seconds
    ended = _ended(world, entries, limit)
    return [_awaited(world, entry, one, limit) for entry, one in zip(entries, ended, strict=True)]


def leaves_nothing(entry: UndoEntry) -> bool:
    """Return whether its step leaves nothing behind that would have to be undone."""
    with suppress(ValueError):
        return step_of(entry).lives_on == "nowhere"
    return False


def _ended(world: World, entries: Sequence[UndoEntry], within_seconds: float) -> list[Healed]:
    return [_attempt(entry, partial(_end, world, entry, within_seconds)) for entry in entries]


def _awaited(world: World, entry: UndoEntry, ended: Healed, within_seconds: float) -> Healed:
    """Wait for the engines of an entry that was undone; return what became of it."""
    wanted = entry.undo.ready
    if not (ended.verified and wanted):
        return ended

    def wait() -> str:
        until(
            lambda: ready_engines(world) >= wanted,
            within_seconds=within_seconds,
            what=f"{wanted} Ready engine pods in {world.profile.namespace}",
            poll_seconds=1.0,
            excused_seconds=world.cluster.silent_seconds,
        )
        return f"{ended.detail}; {wanted} engine pods are Ready"

    return _attempt(entry, wait)


def _attempt(entry: UndoEntry, undo_it: Callable[[], str]) -> Healed:
    try:
        detail, verified = undo_it(), True
    except HarnessError as error:
        detail, verified = str(error), False
    except Exception as error:  # noqa: BLE001 - an edited entry must not keep others from being undone
        detail = f"its undo {entry.undo} stumbles ({type(error).__name__}: {error})"
        verified = False
    return Healed(entry_id=entry.id, fault=entry.fault, verified=verified, detail=detail)


def _end(world: World, entry: UndoEntry, within_seconds: float) -> str:
    try:
        step = step_of(entry)
    except ValueError as error:
        raise HarnessError(f"{error}; use the version of run {entry.run_id}") from error
    return step.end(world, entry, within_seconds=within_seconds)


def open_entries(
    profile: TargetProfile, *, runs: Path | None = None, tell: Tell | None = None
) -> list[UndoEntry]:
    """Return what is not healed, newest first, from run directories and from the cluster.

    Args:
        profile: The target; faults of other targets are not told.
        runs: Folder of run directories on this machine; None: only the cluster's copies.
        tell: Hears of it while the API server is silent.

    Raises:
        RollbackFailed: a record cannot be read, so something unknown may be broken.
    """
    found = _find(Cluster.connect(profile, tell=tell), profile, runs)
    if found.unreadable:
        raise RollbackFailed("; ".join(map(str, found.unreadable)))
    return found.entries


def heal(
    profile: TargetProfile,
    *,
    now: bool,
    runs: Path | None = None,
    keep_namespaces: bool = False,
    say: Tell = lambda _: None,
) -> list[Healed]:
    """Undo everything any earlier run left in the target, and prove it; safe to repeat.

    It needs no run directory: the copies in the cluster and the nodes' own entries suffice. What
    the target's system namespace does not record is not touched, whatever its labels. No run can
    begin meanwhile. What cannot be read or undone is told as not healed, and hides nothing else.

    Args:
        profile: The target.
        now: End a run that is still alive, too: its lease is deleted, so that it stops and heals.
        runs: Folder of run directories, whose journals are then marked; None: the cluster's copies.
        keep_namespaces: Keep the namespaces of earlier runs, agents included.
        say: Told what takes a while, and of it while the API server is silent.

    Raises:
        ProfileError: something is broken, but the system namespace is not hotfire's.
        HarnessError: a run is alive and ``now`` is false, or the cluster does not answer.
    """
    cluster = Cluster.connect(profile, tell=say)
    if _is_elsewhere(cluster, profile, runs):
        return []
    _stop_runner(cluster, profile.system_namespace, now=now, say=say)
    with _holding(cluster, profile) as held:
        agent = AgentClient(cluster, profile, token=held.token if held else 0)
        world = World(cluster=cluster, agent=agent, profile=profile)
        done = _heal_faults(world, runs)
        # Where a run began as this lost its Lease, what is open now is that run's.
        overtaken = (held is not None and held.lost) or _is_anything_open(world)
        if not keep_namespaces and not overtaken and all(one.verified for one in done):
            done += _remove_namespaces(world, runs)
    return done


def _is_elsewhere(cluster: Cluster, profile: TargetProfile, runs: Path | None) -> bool:
    """Return whether nothing can have been done, since the system namespace is somebody else's."""
    try:
        refuse_foreign_system(cluster, profile.system_namespace)
    except ProfileError:
        if open_entries(profile, runs=runs):
            raise
        return True
    return False


@contextmanager
def _holding(cluster: Cluster, profile: TargetProfile) -> Iterator[RunLease | None]:
    """Have the cluster, where there may be something to heal.

    None: nothing can be written there; that is no reason not to heal.
    """
    with ExitStack() as stack:
        held = None
        if cluster.has_namespace(profile.system_namespace):
            wanted = RunLease(
                cluster,
                profile.system_namespace,
                run_id=f"heal-{secrets.token_hex(4)}",
                lease_seconds=profile.agent.lease_seconds,
                on_lost=lambda: None,
                target=profile.name,
                alone=False,
            )
            with suppress(ClusterError):
                held = stack.enter_context(wanted)
        yield held


def _heal_faults(world: World, runs: Path | None) -> list[Healed]:
    token = world.agent.token
    left = _find(world.cluster, world.profile, runs)
    # A fault of a run that has taken the cluster since is that run's own.
    mine = [entry for entry in left.entries if not token or entry.token <= token]
    healed = zip(mine, heal_all(world, mine), strict=True)
    done = [_marked(world, entry, one, runs) for entry, one in healed]
    done += [_unread(record) for record in left.unreadable]
    return done + [one for node in world.agent.nodes() for one in _heal_node(world, node)]


def _is_anything_open(world: World) -> bool:
    found = undo.copies(world.cluster, world.profile.system_namespace)
    return bool(found.entries or found.unreadable)


def _find(cluster: Cluster, profile: TargetProfile, runs: Path | None) -> Found:
    """Return what is open in this cluster, from everywhere, and what nobody can read."""
    uid, copies = cluster.uid(), undo.copies(cluster, profile.system_namespace)
    # `latest` is a link to one of them: an entry seen twice is still one entry.
    journals = {path.resolve(): undo.read(path) for path in _journals(runs)}.values()
    mine = [one for found in journals for one in found.entries if one.cluster_uid == uid]
    unreadable = [record for found in journals for record in found.unreadable]
    return Found(
        entries=undo.still_open([*mine, *copies.entries]),
        unreadable=[*unreadable, *copies.unreadable],
    )


def _unread(record: Unreadable) -> Healed:
    return Healed(entry_id=record.where, fault="unknown", verified=False, detail=str(record))


def _marked(world: World, entry: UndoEntry, healed: Healed, runs: Path | None) -> Healed:
    if not healed.verified:
        return healed
    try:
        _mark(world, entry, runs)
    except HarnessError as error:
        # It is undone, whatever the disk takes; the next `heal` finds that and marks it then.
        return replace(healed, detail=f"{healed.detail}; not marked: {error}")
    return healed


def _mark(world: World, entry: UndoEntry, runs: Path | None) -> None:
    """Say everywhere that an entry is healed, first where it takes no free byte."""
    namespace = world.profile.system_namespace
    world.cluster.delete("ConfigMap", namespace, undo.copy_name(entry.id))
    marked = entry.model_copy(update={"state": State.HEALED})
    for path in _journals(runs):
        if entry.id in {one.id for one in undo.still_open(undo.read(path).entries)}:
            undo.append(path, marked)


def _heal_node(world: World, node: str) -> list[Healed]:
    """Undo what only the node itself still knows of, by an agent whose code is ours."""
    try:
        if not world.agent.is_ours(node):
            world.agent.deploy(run_id=world.agent.run_id())
        left = world.agent.open_entries(node)
        problems = world.agent.heal(node)
    except HarnessError as error:
        return [Healed(entry_id=node, fault="agent", verified=False, detail=str(error))]
    done = [_on_node(node, entry, problems) for entry in left]
    known = tuple(f"{entry.id}: " for entry in left)
    return done + [
        Healed(entry_id=node, fault="agent", verified=False, detail=f"node {node}: {problem}")
        for problem in problems
        if not problem.startswith(known)
    ]


def _on_node(node: str, entry: AgentEntry, problems: list[str]) -> Healed:
    mine = [problem for problem in problems if problem.startswith(f"{entry.id}: ")]
    return Healed(
        entry_id=entry.id,
        fault=entry.op,
        verified=not mine,
        detail="; ".join(mine) or f"undone on node {node}",
    )


def _stop_runner(
    cluster: Cluster, namespace: str, *, now: bool, say: Callable[[str], None]
) -> None:
    held = holders.holder(cluster, namespace)
    if held is None:
        return
    if not now:
        say(f"looking whether {held} is alive: {held.lease_seconds} s at most")
        if holders.is_alive(cluster, held):
            raise HarnessError(f"{held} is alive; wait for it, or end it with `hotfire heal --now`")
        holders.remove_dead(cluster, held)
    else:
        holders.release(cluster, namespace)


def _remove_namespaces(world: World, runs: Path | None) -> list[Healed]:
    """Remove what runs of this target are recorded to have made, the records themselves last."""
    cluster, profile = world.cluster, world.profile
    if world.agent.nodes():
        world.agent.remove()
    janitor.remove(cluster, profile.system_namespace)
    belongings = Estate(cluster, profile.system_namespace, run_id="", journals=_made_journals(runs))
    made = belongings.made()
    others = [one for one in made if not one.is_system]
    going = [one for one in others if belongings.delete(one)]
    done = [_gone(cluster, one, profile.waits.pod_gone_seconds) for one in going]
    for one in others:
        if one.name not in {each.entry_id for each in done if not each.verified}:
            belongings.forget(one)
    if all(one.verified for one in done):
        own = [one for one in made if one.is_system]
        going = [one for one in own if belongings.delete(one)]
        done += [_gone(cluster, one, profile.waits.pod_gone_seconds) for one in going]
        for one in own:
            belongings.forget(one)
    return done


def _gone(cluster: Cluster, made: Made, within_seconds: float) -> Healed:
    name, fault = made.name, made.kind.lower()
    try:
        until(
            lambda: cluster.get(made.kind, None, name, api_version=made.api_version) is None,
            within_seconds=within_seconds,
            what=f"{fault} {name} gone",
            poll_seconds=1.0,
        )
    except ClusterError:
        raise
    except HarnessError as error:
        return Healed(entry_id=name, fault=fault, verified=False, detail=str(error))
    return Healed(entry_id=name, fault=fault, verified=True, detail=f"{name} is removed")


def _journals(runs: Path | None) -> list[Path]:
    return sorted(runs.glob("*/journals/undo.jsonl")) if runs else []


def _made_journals(runs: Path | None) -> list[Path]:
    return sorted(runs.glob(f"*/{JOURNAL}")) if runs else []
