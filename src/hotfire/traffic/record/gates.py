"""Was the load generator fit to measure? A tripped gate makes a run inconclusive, never failed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hotfire.errors import InstrumentError
from hotfire.traffic.record.calibration import Calibration, remembered
from hotfire.traffic.record.files import Ended, JsonFile, Measured, Present
from hotfire.traffic.workload.limits import GateLimits

TPOT_SHARE = 0.05


class GateResult(JsonFile):
    """One gate: what was measured against its limit."""

    name: str
    measured: float
    limit: float
    holds: bool
    reason: str


class Instrument(JsonFile):
    """Every gate of one load, as written to ``<id>.instrument.json``."""

    gates: tuple[GateResult, ...]
    measured: Measured | None
    """None: the load process did not live to tell."""
    calibration: Calibration | None = None
    """How exact it was when last measured on this machine; None: not calibrated."""


def judge(ended: Ended, limits: GateLimits, *, rows: int, unsound: str = "") -> list[GateResult]:
    """Return every gate.

    ``rows`` is the number of rows found in the history; ``unsound`` tells why it cannot be read.
    """
    measured, planned = ended.measured, ended.planned_until_stop
    achieved = measured.dispatched / planned if planned else 0.0
    accounted = ended.received + ended.censored
    return [
        *_of_process(measured, limits, not_sent=ended.not_sent),
        _at_least("achieved_ratio", achieved, limits.achieved_ratio),
        at_most(
            "clock_drift_seconds", abs(ended.anchor.drift_ns) * 1e-9, limits.clock_drift_seconds
        ),
        equal("rows_accounted_for", accounted, planned),
        equal("rows_recorded", rows, planned, instead=unsound),
        *([_none_lost(ended.lost_workers)] if ended.workers or ended.lost_workers else []),
    ]


def so_far(present: Present, limits: GateLimits) -> list[GateResult]:
    """Return the gates that can be known while a load runs."""
    found = _of_process(present.measured, limits, not_sent=present.not_sent)
    return [*found, _none_lost(present.lost_workers)]


def lag_limit(limits: GateLimits) -> float:
    """Return how late (seconds) the timer of a process may be in one of a hundred samples."""
    return max(limits.lag_p99_seconds, TPOT_SHARE * (limits.tpot_budget_seconds or 0.0))


def beyond(samples_us: Iterable[int], limit_seconds: float) -> int:
    """Return how many samples are beyond a limit."""
    limit_us = limit_seconds * 1e6
    return sum(1 for sample in samples_us if sample > limit_us)


def _of_process(measured: Measured, limits: GateLimits, *, not_sent: int) -> Iterator[GateResult]:
    yield at_most("lag_p99_seconds", measured.lag_p99_seconds, lag_limit(limits))
    yield at_most(
        "lateness_p99_seconds", measured.lateness_p99_seconds, limits.lateness_p99_seconds
    )
    yield at_most("cpu_ratio", measured.cpu_ratio, limits.cpu_ratio)
    yield at_most("gc_pause_max_seconds", measured.gc_pause_max_seconds, limits.gc_pause_seconds)
    yield from if_told("throttled_seconds", measured.throttled_seconds, limits.throttled_seconds)
    yield from if_told("steal_ratio", measured.steal_ratio, limits.steal_ratio)
    yield at_most("clock_step_seconds", measured.clock_step_seconds, limits.clock_step_seconds)
    yield at_most("held_back_by_client_cap", not_sent, 0)


def dead(reason: str) -> GateResult:
    """Return the gate of a load process that did not end by itself."""
    return _gate("ended_by_itself", 0.0, 1.0, holds=False, reason=reason)


def check(gates: Sequence[GateResult]) -> None:
    """Accept the measurement, or say why not.

    Raises:
        InstrumentError: a gate tripped, or there was none.
    """
    tripped = [gate.reason for gate in gates if not gate.holds]
    if tripped or not gates:
        raise InstrumentError(f"the load was not fit to measure: {'; '.join(tripped) or 'no gate'}")


def write(path: Path, gates: Sequence[GateResult], measured: Measured | None) -> None:
    """Write the gates, everything measured and the calibration, whether the gates hold or not."""
    found = Instrument(gates=tuple(gates), measured=measured, calibration=remembered())
    found.write(path)


def _gate(name: str, measured: float, limit: float, *, holds: bool, reason: str) -> GateResult:
    return GateResult(name=name, measured=measured, limit=limit, holds=holds, reason=reason)


def at_most(name: str, measured: float, limit: float) -> GateResult:
    """Return a gate that holds up to a limit; what is not known does not hold."""
    holds = not math.isnan(measured) and measured <= limit
    return _gate(name, measured, limit, holds=holds, reason=f"{name} {measured:.4g} of {limit:g}")


def if_told(name: str, measured: float | None, limit: float) -> Iterator[GateResult]:
    """Yield the gate of a figure that not every machine tells; lag and CPU see its harm too."""
    if measured is not None:
        yield at_most(name, measured, limit)


def _at_least(name: str, measured: float, limit: float) -> GateResult:
    reason = f"{name} {measured:.4g}, at least {limit:g}"
    return _gate(name, measured, limit, holds=measured >= limit, reason=reason)


def _none_lost(names: Sequence[str]) -> GateResult:
    reason = f"workers lost: {', '.join(names)}" if names else "no worker lost"
    return _gate("workers_lost", len(names), 0, holds=not names, reason=reason)


def equal(name: str, measured: int, limit: int, *, instead: str = "") -> GateResult:
    """Return a gate that holds where two counts agree; ``instead`` tells why one is missing."""
    reason = f"{name}: {instead}" if instead else f"{name} {measured}, planned {limit}"
    return _gate(name, measured, limit, holds=measured == limit and not instead, reason=reason)
