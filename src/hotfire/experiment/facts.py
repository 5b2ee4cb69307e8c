"""What a verdict on an experiment rests on: what was promised, and what was recorded. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from hotfire.measure.columns import Columns
from hotfire.measure.comparison import (
    CONTROL_FALSE_ALARM,
    Before,
    Control,
    ControlGroup,
    MachinePressure,
)
from hotfire.measure.history import Request
from hotfire.measure.recovery import Recovery, recover
from hotfire.profile import Budgets, Measurement
from hotfire.rundir import Event

_SECOND_NS = 1_000_000_000
Figures = dict[str, float | int | str | bool | None]


class Facts(BaseModel):
    """What was promised when an experiment was armed; kept with the run, to judge it again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    """Id of the fault."""
    slo: Budgets
    """What users are promised at all times; it bounds the steady state."""
    budgets: Budgets
    """What this fault may cost."""
    measurement: Measurement
    self_healing: bool
    """Whether the target must repair the damage by itself, as with a pod."""
    hit: frozenset[str] = frozenset()
    """Names of what the fault is fired at."""
    control: frozenset[str] = frozenset()
    """Servers, as ``served_by`` names them, that no fault touches and that share the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything a verdict rests on."""

    facts: Facts
    journal: Mapping[str, Any] | None
    """Chaos Toolkit's; None if it left none."""
    requests: Sequence[Request]
    events: Sequence[Event]
    instrument_trouble: str | None
    """Why the load generator was not fit to measure; None if it was."""
    quiet: Sequence[Sequence[Request]] = ()
    """Earlier stretches of the same load in which nothing was broken: they tell its noise."""
    pressure: Sequence[tuple[int, float]] = ()
    """Moments (epoch ns) and how long (share, 0-1) processes of the target's machine waited for a
    CPU since the one before; empty where the load runs on another machine."""

    @property
    def experiment(self) -> str:
        """Id of the fault."""
        return self.facts.experiment

    def event_ns(self, what: str) -> int | None:
        """Return when something last happened in this experiment."""
        return next((one.at_ns for one in reversed(self.happened(what))), None)

    def happened(self, what: str) -> list[Event]:
        """Return the events of one kind in this experiment, in order."""
        mine = [one for one in self.events if one.experiment == self.experiment]
        return [one for one in mine if one.what == what]

    def ready_endpoints(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return when how many endpoints were ready: before the injection, and from it on."""
        start_ns = self.injected_ns or 0
        told = self.happened("ready-endpoints")
        series = [(one.at_ns, int(str(one.data["ready"]))) for one in told]
        before = [one for one in series if one[0] < start_ns]
        return before, series[len(before) :]

    @property
    def injected_ns(self) -> int | None:
        """When the fault was ordered."""
        return self.event_ns("injected")

    @property
    def cleared_ns(self) -> int | None:
        """When the fault was proven to be over."""
        return self.event_ns("verified-healed")

    def before(self) -> Before:
        """Return the state before the fault, from what was scheduled before the injection."""
        return self._before(lambda row: row.served_by not in self.facts.control)

    def recovery(self) -> Recovery | None:
        """Return how the fault looked to users; None if none was injected."""
        if self.injected_ns is None:
            return None
        return recover(
            self.requests,
            injected_ns=self.injected_ns,
            cleared_ns=self.cleared_ns,
            before=self.before(),
            controls=list(self._controls()),
        )

    def _controls(self) -> Iterator[Control]:
        names = self.facts.control
        beside = [row for row in self.requests if row.served_by in names and row.sent]
        if beside:
            before = self._before(
                lambda row: row.served_by in names, false_alarm=CONTROL_FALSE_ALARM
            )
            yield ControlGroup(names=names, before=before, rows=Columns.of(beside))
        pressure = MachinePressure.of(
            self.pressure, injected_ns=self.injected_ns or 0, false_alarm=CONTROL_FALSE_ALARM
        )
        if pressure is not None:
            yield pressure

    def _before(
        self, wanted: Callable[[Request], bool], *, false_alarm: float | None = None
    ) -> Before:
        end_ns = self.injected_ns
        baseline = [row for row in self.requests if end_ns is None or row.sched_ns < end_ns]
        return Before.of(
            list(filter(wanted, baseline)),
            self.facts.slo,
            self.facts.measurement,
            quiet=[list(filter(wanted, one)) for one in self.quiet],
            false_alarm=false_alarm,
        )
