"""One experiment on a target: armed, fired, healed, and watched until users recovered."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from hotfire.chaos import heal, janitor
from hotfire.chaos.agent_client import entry_id
from hotfire.chaos.armed import Armed, tell
from hotfire.chaos.heal import Healed
from hotfire.chaos.lease import RunLease
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.step import Step
from hotfire.chaos.tenure import estate_of
from hotfire.chaos.undo import State, Undo, UndoEntry, UndoJournal
from hotfire.chaos.watch import Watch
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError, RollbackFailed
from hotfire.experiment.document import Experiment
from hotfire.experiment.facts import Facts, Record
from hotfire.experiment.judgement import Judgement
from hotfire.experiment.pressure import PressureLog
from hotfire.experiment.process import ChaosProcess
from hotfire.experiment.record import (
    hear_engines,
    judge_recorded,
    pressure_path,
    quiet_before,
    write_facts,
)
from hotfire.experiment.signals import ended_by_signals, uninterrupted
from hotfire.experiment.traffic import Traffic
from hotfire.measure.history import Request
from hotfire.measure.recovery import settled
from hotfire.rundir import RunDirectory
from hotfire.traffic.witnesses.witness import unheard
from hotfire.verdict import Verdict
from hotfire.waiting import until

_NANO: Final = 1e-9
# Seconds that a check of the running history may lag behind what already happened.
_POLL_SECONDS: Final = 3.0
# Beyond recovery and hold: the width of windows, and requests that are slow to end.
_SLACK_SECONDS: Final = 30.0


class Trial:
    """An armed experiment: entering it writes the undo ahead, leaving it heals, whatever happened.

    Within it the run's Lease is held. When that is lost, or a signal arrives, the fault is ended
    and healed, and the verdict is inconclusive.
    """

    def __init__(
        self,
        experiment: Experiment,
        world: World,
        run: RunDirectory,
        plan: Plan,
        *,
        lease: RunLease | None = None,
    ) -> None:
        """Prepare; ``lease`` is held for the whole run, None: one is held for this trial only."""
        self._held_lease = lease
        self.experiment = experiment
        self.world = world
        self.run = run
        self.plan = plan
        self._facts = Facts(
            experiment=experiment.id,
            slo=world.profile.budgets,
            budgets=experiment.budgets(world.profile),
            measurement=world.profile.measurement,
            self_healing=experiment.fault.repaired_by == "target",
            hit=frozenset(one.name for one in plan.targets),
            # Whom the fault is aimed at shows nothing of the machine.
            control=unheard(world.profile) - {one.name for one in plan.targets},
        )
        self._run_id = run.info().run_id
        self._journal = UndoJournal(run.undo_path, world.cluster, world.profile.system_namespace)
        self._entries = self._undo_entries()
        self._process = ChaosProcess(
            experiment=experiment.path,
            armed=run.path(f"journals/{experiment.id}.armed.json").resolve(),
            journal=run.journal_path(experiment.id).resolve(),
            log=run.log_path(f"chaos-{experiment.id}.log").resolve(),
        )
        # The same that the verdict will rest on, so that the load goes on for as long as that asks.
        self._quiet = quiet_before(run, experiment.id)
        self._charged = False
        self._killed = threading.Event()
        self._held = ExitStack()

    # The life of a fault

    def __enter__(self) -> Self:
        """Arm: from here on the fault can be undone by anybody, and only now may it be fired."""
        with ExitStack() as stack:
            stack.enter_context(ended_by_signals())
            lease = stack.enter_context(self._lease())
            self._have_janitor()
            self._entries = tuple(
                one.model_copy(update={"token": lease.token}) for one in self._entries
            )
            stack.push(self._heal_at_exit)
            for entry in self._entries:
                self._journal.arm(entry)
            self._write_armed()
            write_facts(self.run, self._facts)
            self.tell(
                "armed", source="driver", data={"targets": [str(t) for t in self.plan.targets]}
            )
            if self.world.profile.shares_machine:
                stack.enter_context(PressureLog(pressure_path(self.run, self.experiment.id)))
            stack.enter_context(Watch(self.world.cluster, self.world.profile, self.run, self.plan))
            self._held = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Heal whatever is left.

        Raises:
            RollbackFailed: it could not be proven healed, and nothing worse is on its way already.
        """
        self._held.__exit__(kind, error, trace)
        # A target that was seen not to repair itself is judged for that; its entry stays open.
        if error is None and self._open() and not self._charged:
            raise RollbackFailed(f"{self.experiment.id} is not healed; run `hotfire heal`")

    def await_baseline(self, load: Traffic) -> None:
        """Let the load run until it makes a baseline; whether that is steady is judged later.

        Raises:
            HarnessError: the load died, or does not bring the requests in three times the time.
        """
        measurement = self.world.profile.measurement
        load.wait_started()
        begun = min((row.sched_ns for row in load.rows()), default=None)
        self.tell("baseline-start", source="driver", kind="phase", at_ns=begun)

        def enough() -> bool:
            self._require_alive(load)
            rows = [row for row in settled(load.rows()) if row.phase != "warmup"]
            span = (rows[-1].sched_ns - rows[0].sched_ns) * _NANO if rows else 0.0
            return (
                span >= measurement.baseline_seconds and len(rows) >= measurement.baseline_requests
            )

        until(
            enough,
            within_seconds=3 * measurement.baseline_seconds + _SLACK_SECONDS,
            what=f"a baseline of {measurement.baseline_requests} requests"
            f" in {measurement.baseline_seconds:g} s; is load.rate_per_second too low?",
            poll_seconds=_POLL_SECONDS / 3,
        )
        self.tell("baseline-end", source="driver", kind="phase")

    def fire(self) -> None:
        """Run the experiment in its own process, to its end."""
        waits = self.world.profile.waits
        self._process.run(within_seconds=2 * waits.pod_ready_seconds + 10 * waits.healing_seconds)

    def heal(self) -> Healed:
        """Undo what is left of the fault and prove it; safe to repeat, and not to be interrupted.

        What could not be proven healed stays an open entry, which stops every later experiment.
        """
        with uninterrupted():
            limit = self.world.profile.waits.healing_seconds
            done = heal.heal_entries(self.world, self._entries, within_seconds=limit)
            if not done.verified:
                self.tell("not-healed", source="driver", data={"detail": done.detail})
                return done
            for entry in self._entries:
                self._journal.mark(entry, State.HEALED)
            if self._told("injected") and not self._told("verified-healed"):
                self.tell("verified-healed", source="driver", data={"detail": done.detail})
        return done

    def await_recovery(self, load: Traffic) -> None:
        """Keep the load going until users recovered and stayed so, or the time for it is over."""
        if self._live([]).cleared_ns is None:
            return
        own = self.world.profile.measurement
        limit = (self._facts.budgets.recovery_seconds or 0.0) + own.hold_seconds
        limit += own.window_seconds + _SLACK_SECONDS
        deadline = time.monotonic() + limit

        def decided() -> bool:
            self._require_alive(load)
            recovery = self._live(settled(load.rows())).recovery()
            recovered = recovery and recovery.recovered_from_clearing_seconds is not None
            return bool(recovered) or time.monotonic() >= deadline

        until(
            decided,
            within_seconds=limit + _SLACK_SECONDS,
            what="users served as before",
            poll_seconds=_POLL_SECONDS,
        )

    # The record

    def judge(self) -> Judgement:
        """Return the verdict on what was recorded, once the load is stopped."""
        hear_engines(self.run, self.experiment.id, self.world.profile)
        found = judge_recorded(self.run, self.experiment.id)
        self._charged = found.verdict is Verdict.FAILED and self._facts.self_healing
        return found

    def tell(
        self,
        what: str,
        *,
        source: str,
        kind: Literal["fault", "phase"] = "fault",
        at_ns: int | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Write one event of this experiment, now or as of a moment."""
        name = self.experiment.id
        tell(self.run, what, source=source, experiment=name, kind=kind, at_ns=at_ns, data=data)

    @property
    def armed_path(self) -> Path:
        """The file that arms the process which fires."""
        return self._process.armed

    # Parts

    def _live(self, requests: Sequence[Request]) -> Record:
        """Return the record so far, as far as recovery needs it."""
        return Record(
            facts=self._facts,
            journal=None,
            requests=requests,
            events=self.run.events(),
            instrument_trouble=None,
            quiet=self._quiet,
        )

    def _undo_entries(self) -> tuple[UndoEntry, ...]:
        """Return what undoes each step on each target; nothing is touched."""
        cluster_uid = self.world.cluster.uid()
        shots = self.experiment.fault.shots(self.plan.targets)
        return tuple(self._undo_entry(step, target, cluster_uid) for step, target in shots)

    def _undo_entry(self, step: Step, target: Target, cluster_uid: str) -> UndoEntry:
        now = datetime.now(UTC)
        lease = timedelta(seconds=self.world.profile.agent.lease_seconds)
        return UndoEntry(
            id=entry_id("u"),
            at=now,
            run_id=self._run_id,
            cluster_uid=cluster_uid,
            fault=self.experiment.id,
            target=target,
            undo=Undo(
                step=step.model_dump(mode="json"),
                former=step.former(self.world, target),
                ready=self.plan.ready,
            ),
            expires_at=None if step.lives_on == "nowhere" else now + lease,
        )

    def _have_janitor(self) -> None:
        """Have somebody in the cluster who undoes it if we die, where a node cannot."""
        fault = self.experiment.fault
        if fault.needs_janitor:
            shots = fault.shots(self.plan.targets)
            rules = [rule for step, target in shots for rule in step.rules(target)]
            belongings = estate_of(self.world.cluster, self.world.profile, self.run)
            janitor.ensure(self.world, belongings, run_id=self._run_id, rules=rules)

    def _write_armed(self) -> None:
        armed = Armed(
            fault=self.experiment.fault,
            plan=self.plan,
            entries=self._entries,
            profile=self.world.profile,
            run_directory=self.run.root.resolve(),
            history=self.run.history_path(self.experiment.id).resolve(),
        )
        self.run.write_text(f"journals/{self.experiment.id}.armed.json", armed.model_dump_json())

    def _lease(self) -> AbstractContextManager[RunLease]:
        if self._held_lease is not None:
            return self._held_lease.watched(self._kill)
        return RunLease(
            self.world.cluster,
            self.world.profile.system_namespace,
            run_id=self._run_id,
            lease_seconds=self.world.profile.agent.lease_seconds,
            on_lost=self._kill,
            target=self.world.profile.name,
        )

    def _kill(self) -> None:
        """Be the kill switch: end the fault's process at once; healing follows on our way out."""
        self._killed.set()
        try:
            self.tell("kill-switch", source="the run's Lease was deleted or taken")
        finally:
            # Also where the disk takes no line.
            self._process.end()

    def _heal_at_exit(self, *_: object) -> None:
        try:
            self.armed_path.unlink(missing_ok=True)
        finally:
            if self._open():
                self.heal()

    def _require_alive(self, load: Traffic) -> None:
        if self._killed.is_set():
            raise HarnessError("the kill switch was used: the run's Lease was deleted or taken")
        if not load.alive():
            raise HarnessError(f"the load process ended; see {load.log}")

    def _open(self) -> bool:
        """Return whether anything of this fault is not healed."""
        mine = {entry.id for entry in self._entries}
        return any(entry.id in mine for entry in self._journal.open())

    def _told(self, what: str) -> bool:
        return self._live([]).event_ns(what) is not None
