"""The end of a run: what it left in the cluster is healed and removed, or told with its remedy."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from hotfire.chaos import heal
from hotfire.chaos.blast import World
from hotfire.chaos.undo import State, UndoEntry, UndoJournal
from hotfire.closing import Closing
from hotfire.cluster import RUN_LABEL, Cluster, Document
from hotfire.errors import Forbidden, HarnessError
from hotfire.waiting import of_target

_PRIORITY_API: Final = "scheduling.k8s.io/v1"
# Deleting starts at once and ends when the pods' controllers have followed.
_GONE_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What bears a run's label, and what it has not undone."""

    faults: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.faults or self.namespaces or self.classes)

    def __str__(self) -> str:
        kinds = (
            ("fault", self.faults),
            ("namespace", self.namespaces),
            ("PriorityClass", self.classes),
        )
        return ", ".join(f"{kind} {name}" for kind, names in kinds for name in names)


def look(
    cluster: Cluster, journal: UndoJournal, run_id: str, *, kept: Collection[str] = ()
) -> Remains:
    """Return what a run has left; with ``kept`` namespaces whatever lies in none is kept too."""
    found = _labelled(cluster, "Namespace", "v1", run_id)
    return Remains(
        faults=tuple(entry.fault for entry in journal.open()),
        namespaces=tuple(name for name in found if name not in kept),
        classes=() if kept else _labelled(cluster, "PriorityClass", _PRIORITY_API, run_id),
    )


def _labelled(cluster: Cluster, kind: str, api_version: str, run_id: str) -> tuple[str, ...]:
    """Return the names of a run's objects; who may not even list them has made none."""
    found: list[Document] = []
    with suppress(Forbidden):
        found = cluster.list(kind, selector=f"{RUN_LABEL}={run_id}", api_version=api_version)
    return tuple(one["metadata"]["name"] for one in found)


def sweep(
    world: World, journal: UndoJournal, run_id: str, *, kept: Collection[str] = (), remedy: str
) -> None:
    """Heal and remove whatever a run has left.

    Args:
        world: The target.
        journal: The run's own.
        run_id: Whose label its objects bear.
        kept: Namespaces that the operator wants to keep.
        remedy: The command that removes what is left in spite of this.

    Raises:
        HarnessError: something is left, or nobody could look; it tells what, and the remedy.
    """
    try:
        left = look(world.cluster, journal, run_id, kept=kept)
        if left:
            _clear(world, journal, left)
            gone = of_target(
                lambda: not look(world.cluster, journal, run_id, kept=kept),
                within_seconds=2 * world.profile.waits.pod_gone_seconds,
                what="nothing of this run left",
                poll_seconds=_GONE_POLL_SECONDS,
                excused_seconds=world.cluster.silent_seconds,
            )
            left = Remains() if gone else look(world.cluster, journal, run_id, kept=kept)
    except HarnessError as error:
        raise HarnessError(f"`{remedy}` removes what may be left: {error}") from error
    if left:
        raise HarnessError(f"`{remedy}` removes what is left: {left}")


def _clear(world: World, journal: UndoJournal, left: Remains) -> None:
    cluster, system = world.cluster, world.profile.system_namespace
    with Closing() as closing:
        for entry in journal.open():
            with closing.step(f"{entry.fault} healed"):
                _heal(world, entry)
                journal.mark(entry, State.HEALED)
        with closing.step("the agents removed"):
            if world.agent.nodes():
                world.agent.remove()
        # Undo copies lie in the agents' namespace: it goes when nothing is left to undo.
        doomed = [name for name in left.namespaces if name != system or closing.sound]
        for name in doomed:
            with closing.step(f"namespace {name} deleted"):
                cluster.delete_namespace(name, pods_grace_seconds=1)
        for name in left.classes:
            with closing.step(f"PriorityClass {name} deleted"):
                cluster.delete("PriorityClass", None, name, api_version=_PRIORITY_API)


def _heal(world: World, entry: UndoEntry) -> None:
    """Undo a fault.

    Raises:
        HarnessError: it could not be proven undone.
    """
    if entry.undo.func == "replacement" and not world.cluster.has_namespace(
        world.profile.namespace
    ):
        # The engines that should come back were removed with everything else of the stack.
        return
    limit = world.profile.waits.healing_seconds
    healed = heal.heal_entry(world, entry, within_seconds=limit)
    if not healed.verified:
        raise HarnessError(healed.detail)
