"""The end of a run: what it left in the cluster is healed and removed, or told with its remedy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from hotfire.chaos import heal, holders, janitor
from hotfire.chaos.heal import Healed
from hotfire.chaos.plan import World
from hotfire.chaos.undo import State, UndoEntry, UndoJournal
from hotfire.closing import Closing
from hotfire.cluster import RUN_LABEL, Estate, Made
from hotfire.errors import Forbidden, HarnessError
from hotfire.waiting import of_target

# Deleting starts at once and ends when the pods' controllers have followed.
_GONE_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What a run is recorded to have made, and what it has not undone."""

    faults: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()
    ending: tuple[str, ...] = ()
    """Namespaces of this run that are on their way out."""

    def __bool__(self) -> bool:
        return bool(self.faults or self.made or self.ending)

    def __str__(self) -> str:
        kinds = {"Namespace": "namespace"}
        things = [f"{kinds.get(one.kind, one.kind)} {one.name}" for one in self.made]
        ending = [f"namespace {name}, which is ending" for name in self.ending]
        return ", ".join([*(f"fault {name}" for name in self.faults), *things, *ending])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The cleaning up after one run: by its own records, and by uid only."""

    world: World
    journal: UndoJournal
    belongings: Estate
    run_id: str
    kept: Collection[str] = ()
    """Namespaces that the operator wants to keep; with them stays whatever lies in none."""
    remedy: str
    """The command that removes what is left in spite of this."""

    def look(self) -> Remains:
        """Return what the run has left; who may not even look has made nothing."""
        faults = tuple(entry.fault for entry in self.journal.open())
        try:
            left = [one for one in self._recorded() if self._is_there(one)]
            ending = self._ending()
        except Forbidden:
            return Remains(faults=faults)
        return Remains(faults=faults, made=tuple(left), ending=ending)

    def carry_out(self) -> None:
        """Heal and remove whatever the run has left.

        Raises:
            HarnessError: something is left, or nobody could look; it tells what, and the remedy.
        """
        try:
            left = self.look()
            if left.faults or left.made:
                self._require_ours(left)
                self._clear(left)
            if left:
                gone = of_target(
                    lambda: not self.look(),
                    within_seconds=2 * self.world.profile.waits.pod_gone_seconds,
                    what="nothing of this run left",
                    poll_seconds=_GONE_POLL_SECONDS,
                    excused_seconds=self.world.cluster.silent_seconds,
                )
                left = Remains() if gone else self.look()
        except HarnessError as error:
            raise HarnessError(f"`{self.remedy}` removes what may be left: {error}") from error
        if left:
            raise HarnessError(f"`{self.remedy}` removes what is left: {left}")

    # Parts

    def _recorded(self) -> list[Made]:
        made = [one for one in self.belongings.made() if one.run_id == self.run_id]
        if self.kept:
            # Their record lies in the system namespace.
            made = [one for one in made if one.kind == "Namespace" and not one.is_system]
        return [one for one in made if one.name not in self.kept]

    def _ending(self) -> tuple[str, ...]:
        cluster = self.world.cluster
        found = cluster.list("Namespace", selector=f"{RUN_LABEL}={self.run_id}")
        going = [one["metadata"] for one in found if cluster.owns(one)]
        return tuple(one["name"] for one in going if one.get("deletionTimestamp"))

    def _is_there(self, one: Made) -> bool:
        found = self.world.cluster.get(one.kind, None, one.name, api_version=one.api_version)
        return found is not None and (not one.uid or found["metadata"]["uid"] == one.uid)

    def _require_ours(self, left: Remains) -> None:
        """Make sure that no other run has the cluster, which may use what is left."""
        held = holders.holder(self.world.cluster, self.world.profile.system_namespace)
        if held is not None and held.run_id != self.run_id:
            raise HarnessError(f"{held} has the cluster by now; left is {left}")

    def _clear(self, left: Remains) -> None:
        with Closing() as closing:
            self._clear_faults(closing)
            with closing.step("the agents removed"):
                if self.world.agent.run_id() == self.run_id:
                    self.world.agent.remove()
            with closing.step("the janitor removed"):
                janitor.remove(self.world.cluster, self.world.profile.system_namespace)
            # Records of what is gone already, too: nothing is deleted by them.
            for one in self._recorded():
                if not one.is_system:
                    with closing.step(f"{one.kind} {one.name} deleted"):
                        self.belongings.remove(one)
            # Undo copies lie there: it goes when nothing is left to undo.
            if closing.sound and any(one.is_system for one in left.made):
                with closing.step("the system namespace deleted"):
                    self.belongings.close()

    def _clear_faults(self, closing: Closing) -> None:
        entries, done = self.journal.open(), list[Healed]()
        with closing.step("the faults undone"):
            done = self._heal(entries)
        # Where that broke down, nothing is marked.
        for entry, healed in zip(entries, done, strict=False):
            with closing.step(f"{entry.fault} healed"):
                if not healed.verified:
                    raise HarnessError(healed.detail)
                self.journal.mark(entry, State.HEALED)

    def _heal(self, entries: Sequence[UndoEntry]) -> list[Healed]:
        """Undo what was not undone yet, and return what became of each."""
        cluster, profile = self.world.cluster, self.world.profile
        if not cluster.has_namespace(profile.namespace):
            # The engines that should come back were removed with everything else of the stack.
            entries = [
                entry.model_copy(update={"undo": entry.undo.model_copy(update={"ready": 0})})
                if heal.leaves_nothing(entry)
                else entry
                for entry in entries
            ]
        return heal.heal_all(self.world, entries, within_seconds=profile.waits.healing_seconds)
