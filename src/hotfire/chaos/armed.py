"""An armed fault: what the driver hands to the process that fires it."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import ValidationError

from hotfire.chaos import before, holders
from hotfire.chaos.agent_client import AgentClient
from hotfire.chaos.before import Before
from hotfire.chaos.fault import Fault
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene
from hotfire.chaos.undo import State, UndoEntry, UndoJournal
from hotfire.chaos.written import Written
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.rundir import Event, RunDirectory

VARIABLE: Final = "HOTFIRE_ARMED"
"""Names the file of the armed fault; the one variable that crosses into the chaos process."""


class Armed(Written):
    """A plan that was proven and whose undo is written ahead."""

    fault: Fault
    plan: Plan
    entries: tuple[UndoEntry, ...]
    """One of each step on each target, in the order in which they are fired."""
    profile: TargetProfile
    run_directory: Path
    history: Path
    """Where the load writes its rows, live."""

    @classmethod
    def from_environment(cls) -> Self:
        """Return what was armed for this process.

        Raises:
            HarnessError: nothing was; then nothing may be fired.
        """
        path = os.environ.get(VARIABLE, "")
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except (OSError, ValidationError) as error:
            raise HarnessError(
                "no armed plan: a fault is fired only after its targets are resolved, its blast"
                " radius proven and its undo written; start it with `hotfire gameday`, or keep the"
                " control `hotfire.experiment.control` in the experiment file"
            ) from error


class Shot:
    """One armed fault together with the world it is fired at."""

    def __init__(self, armed: Armed) -> None:
        self.armed = armed
        self.fault = armed.fault
        self.profile = armed.profile
        self.plan = armed.plan
        self.entries = armed.entries
        self.run = RunDirectory(armed.run_directory)

    @classmethod
    def from_environment(cls) -> Self:
        """Return the fault armed for this process; see ``Armed.from_environment``."""
        return cls(Armed.from_environment())

    @cached_property
    def cluster(self) -> Cluster:
        return _connected(self.profile.model_dump_json(), self.armed.run_directory)

    @cached_property
    def agent(self) -> AgentClient:
        return AgentClient(self.cluster, self.profile, token=self.entries[0].token)

    @property
    def world(self) -> World:
        return World(cluster=self.cluster, agent=self.agent, profile=self.profile, run=self.run)

    @property
    def before(self) -> Before:
        """What was there when the fault was fired."""
        return before.recorded(self.run.events(), self.plan)

    def scene(self) -> Scene:
        """Return the fault as sightings look at it."""
        return Scene(world=self.world, plan=self.plan, entries=self.entries, before=self.before)

    @cached_property
    def journal(self) -> UndoJournal:
        return self._journal(self.cluster)

    def _journal(self, cluster: Cluster) -> UndoJournal:
        return UndoJournal(self.run.undo_path, cluster, self.profile.system_namespace)

    def require_open(self) -> None:
        """Make sure that this very plan is still armed, on this disk, and was not healed meanwhile.

        Raises:
            HarnessError: it is not; the kill switch or another `heal` was faster.
        """
        there = {entry.id for entry in self.journal.open()}
        if gone := [entry.id for entry in self.entries if entry.id not in there]:
            raise HarnessError(f"{', '.join(gone)} is not armed any more: somebody has healed it")

    def require_held(self) -> None:
        """Make sure that the run still has the cluster; only while no fault can have cut it off.

        Raises:
            HarnessError: somebody else has it, or nobody.
        """
        run_id = self.entries[0].run_id
        holders.require_held(self.cluster, self.profile.system_namespace, run_id=run_id)

    def fired(self, entry: UndoEntry) -> None:
        """Write that one step is done to one target."""
        with suppress(HarnessError):
            # The fault may have cut our way to the cluster; the entry is open there all the same,
            # and its effect must be looked for without delay.
            self._journal(self.cluster.expecting_silence()).mark(entry, State.INJECTED)

    def tell(self, what: str, *, source: str, at_ns: int | None = None, **data: object) -> int:
        """Write one event of this fault, now or as of ``at_ns``, and return its time."""
        return tell(
            self.run,
            what,
            source=source,
            experiment=self.plan.experiment,
            at_ns=at_ns,
            data=data,
        )


@lru_cache(maxsize=1)
def _connected(profile: str, run_directory: Path) -> Cluster:
    """Return one connection for all activities of this process.

    Who has taken the API server away could not make another one to look whether it is.
    """
    run = RunDirectory(run_directory)
    return Cluster.connect(TargetProfile.model_validate_json(profile), tell=run.tell)


def tell(  # noqa: PLR0913 - an event has these facts, all but two by name
    run: RunDirectory,
    what: str,
    *,
    source: str,
    experiment: str | None = None,
    kind: Literal["fault", "phase", "watch", "agent"] = "fault",
    at_ns: int | None = None,
    data: Mapping[str, object] | None = None,
) -> int:
    """Write one event to the run's timeline and return its time in epoch nanoseconds."""
    stamp = time.time_ns() if at_ns is None else at_ns
    event = Event(
        at_ns=stamp,
        kind=kind,
        what=what,
        source=source,
        experiment=experiment,
        data=dict(data or {}),
    )
    run.append_event(event)
    return stamp
