"""One load through many faults: each has its part of it, and rests on what the last one left."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self

from hotfire.chaos.armed import tell
from hotfire.experiment.document import Experiment
from hotfire.experiment.judgement import Judgement
from hotfire.measure.columns import Columns
from hotfire.measure.comparison import Before, Shift, Stretch
from hotfire.measure.history import Request
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.runner.part import LoadPart
from hotfire.traffic.witnesses.witness import unheard
from hotfire.traffic.workload.plan import NANO

_BESIDE_SECONDS = 20.0
"""Planning, arming, firing and proving, as it is on a quiet lab."""
Start = Callable[[str], AbstractContextManager[RunningLoad]]
"""Runs the rated load by the name of its history; leaving it ends it."""


class Campaign:
    """Starts the load with the first fault and ends it after the last.

    The baseline of a fault is the hold of the one before, where users were shown to be served as
    before in it. They are compared with the campaign's first baseline, too: many steps that are
    each too small to be found would otherwise add up to a new normal. Where that does not hold, or
    a fault left no such hold, the next one begins with a baseline of its own.
    """

    def __init__(self, run: RunDirectory, profile: TargetProfile, start: Start) -> None:
        self._run, self._profile, self._start = run, profile, start
        self._held = ExitStack()
        self._load: RunningLoad | None = None
        self._since_ns: int | None = None
        self._first: Before | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._load is not None and self._load.alive():
            self._load.stop()
        self._held.close()

    def tell_plan(self, faults: Sequence[Experiment]) -> None:
        """Say which faults are fired, in which order, and about how long that takes."""
        own = self._profile.measurement
        rest_seconds = own.hold_seconds + own.window_seconds + _BESIDE_SECONDS
        seconds = own.baseline_seconds + _BESIDE_SECONDS
        seconds += sum(one.fault.hold_seconds + rest_seconds for one in faults)
        order = ", ".join(one.id for one in faults)
        minutes = math.ceil(seconds / 60)
        what = f"faults under one load, about {minutes} minutes: {len(faults)}, {order}"
        tell(self._run, what, source="the campaign", kind="phase")

    def part(self, name: str) -> LoadPart:
        """Return the load of one fault, to be entered; its history is ``history_path(name)``.

        Raises:
            InstrumentError: the load does not start.
        """
        load = self._running()
        since_ns, self._since_ns = self._since_ns, None
        return LoadPart(load, self._run.history_path(name), since_ns=since_ns)

    def rest(self, judgement: Judgement) -> None:
        """Take what a fault left as the next one's baseline, if it is one."""
        if judgement.quiet_since_ns is None or judgement.before is None or self._load is None:
            return
        self._first = self._first or judgement.before
        moved = self._moved(self._load.rows(), judgement.quiet_since_ns)
        if not moved:
            self._since_ns = judgement.quiet_since_ns
            return
        told = "; ".join(map(str, moved))
        tell(self._run, "moved-from-first-baseline", source="the load's history", kind="phase",
             data={"how": told})  # fmt: skip
        self._first = None

    def begin_anew(self) -> None:
        """Take nothing from before as a baseline: the service is another one on purpose."""
        self._since_ns = self._first = None

    def _running(self) -> RunningLoad:
        """Return the load; one that has died meanwhile is followed by another."""
        if self._load is None or not self._load.alive():
            self._since_ns = self._first = None
            name = self._run.unused_name("campaign")
            self._load = self._held.enter_context(self._start(name))
            self._load.wait_started()
        return self._load

    def _moved(self, rows: list[Request], since_ns: int) -> list[Shift]:
        """Return how the hold from a moment on is worse than the campaign's first baseline."""
        if self._first is None:
            return []
        end_ns = since_ns + round(self._profile.measurement.hold_seconds * NANO)
        others = unheard(self._profile)
        heard = (row for row in rows if row.sent and row.served_by not in others)
        ordered = sorted(heard, key=lambda row: row.sched_ns)
        hold = Stretch.cut(Columns.of(ordered), since_ns, end_ns)
        return [shift for shift in self._first.over_hold(hold) if shift.worse]
