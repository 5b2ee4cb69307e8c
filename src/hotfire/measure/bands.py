"""What counts as "as before": bands fixed from a baseline, and whether that was steady. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import linear_regression

import numpy as np
import scipy  # its parts, named in full, are imported where they are used

from hotfire.measure.columns import Columns, Flags, p95
from hotfire.measure.history import Request
from hotfire.measure.latency import Seconds
from hotfire.measure.request_times import NANO, ttft_seconds
from hotfire.measure.variation import inflation
from hotfire.profile import Budgets, Measurement

SUCCESS_RATIO = 0.99
GOODPUT_FACTOR = 0.95
TREND_FACTOR = 1.25
_TREND_BATCHES = 6
BATCH_REQUESTS = 20
"""Fewest requests that a batch is made for: the median of fewer is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """What counts as "as before", fixed from the baseline before the fault.

    A window holds if its success ratio is at least ``success_ratio``, p95 TTFT and p95 TPOT are
    within their limits, and goodput is at least 0.95 of the baseline's.

    Success is compared as counted, successes / n. A Wilson lower bound at 95 % of 100 requests
    without any failure is 0.963, so a band "lower bound >= 0.99" could not be met below 381
    requests; the bound is reported with each window, and the sample floor and the hold time are
    what guard against luck.
    """

    success_ratio: float
    ttft_p95_seconds: float | None
    """None: the baseline had no TTFT at all, which is a problem of its own."""
    tpot_p95_seconds: float | None
    """None: the target does not report usage, so TPOT is not banded."""
    goodput_ratio: float
    problems: tuple[str, ...] = ()
    """Why the baseline is no steady state; empty if it is one."""

    @classmethod
    def from_baseline(
        cls, requests: Sequence[Request], budgets: Budgets, measurement: Measurement
    ) -> "Bands":
        """Return the bands of a baseline, warm-up rows left out.

        A latency limit is min(budget, max(factor * baseline, baseline + floor)): without the
        floor a few milliseconds of noise would violate a very fast baseline. The success ratio is
        1 - error_ratio, but never below 0.99: an experiment's error budget pays for the fault, not
        for the state after it.
        """
        rows = [r for r in requests if not r.censored and r.phase != "warmup"]
        columns = Columns.of(rows)
        ttft, tpot = (p95(one[columns.complete]) for one in (columns.ttft, columns.tpot))
        factor = measurement.band_factor
        allowed = 1.0 if budgets.error_ratio is None else budgets.error_ratio
        bands = cls(
            success_ratio=max(SUCCESS_RATIO, 1 - allowed),
            ttft_p95_seconds=_limit(
                ttft, factor, measurement.band_floor_seconds, budgets.ttft_p95_seconds
            ),
            tpot_p95_seconds=_limit(
                tpot, factor, measurement.band_floor_tpot_seconds, budgets.tpot_p95_seconds
            ),
            goodput_ratio=0.0,
        )
        return replace(
            bands,
            goodput_ratio=GOODPUT_FACTOR * bands._goodput(columns),
            problems=tuple(_baseline_problems(rows, columns, bands, measurement)),
        )

    def good(self, rows: Columns) -> Flags:
        """Return of each request whether it is complete and within both latency limits."""
        if self.ttft_p95_seconds is None:
            return np.zeros(len(rows), np.bool_)
        good = rows.complete & (rows.ttft <= self.ttft_p95_seconds)
        if self.tpot_p95_seconds is not None:
            good &= ~(rows.tpot > self.tpot_p95_seconds)
        return good

    def violations(self, requests: Sequence[Request] | Columns) -> list[str]:
        """Return which bands some requests break, each as a sentence; empty: all hold."""
        rows = requests if isinstance(requests, Columns) else Columns.of(requests)
        if not len(rows):
            return ["no requests"]
        found = []
        if (success := rows.success_ratio()) < self.success_ratio:
            found.append(f"success {success:.4f} below {self.success_ratio:g}")
        for name, limit, values in (
            ("ttft", self.ttft_p95_seconds, rows.ttft),
            ("tpot", self.tpot_p95_seconds, rows.tpot),
        ):
            seen = p95(values)
            if limit is not None and seen is None:
                found.append(f"p95 {name} unknown")
            elif limit is not None and seen is not None and seen > limit:
                found.append(f"p95 {name} {seen:.4g} s above {limit:.4g} s")
        if (goodput := self._goodput(rows)) < self.goodput_ratio:
            found.append(f"goodput {goodput:.4f} below {self.goodput_ratio:.4f}")
        return found

    @property
    def baseline_goodput_ratio(self) -> float:
        """Share of good requests before the fault, 0-1."""
        return self.goodput_ratio / GOODPUT_FACTOR

    def _goodput(self, rows: Columns) -> float:
        return int(self.good(rows).sum()) / len(rows) if len(rows) else 0.0


def _limit(
    baseline: float | None, factor: float, floor: float, budget: float | None
) -> float | None:
    if baseline is None:
        return None
    return min(budget or math.inf, max(factor * baseline, baseline + floor))


def _baseline_problems(
    rows: Sequence[Request], columns: Columns, bands: Bands, measurement: Measurement
) -> Iterable[str]:
    span = (rows[-1].sched_ns - rows[0].sched_ns) * NANO if rows else 0.0
    # Arrivals at a rate cover their duration but for about one gap at each end.
    slack = 2 * span / len(rows) if rows else 0.0
    if len(rows) < measurement.baseline_requests:
        yield f"the baseline has {len(rows)} requests of {measurement.baseline_requests}"
    if span + slack < measurement.baseline_seconds:
        yield f"the baseline lasted {span:.1f} s of {measurement.baseline_seconds:g} s"
    if not columns.complete.any():
        yield "no request of the baseline was complete"
    elif bands.ttft_p95_seconds is None:
        yield "no request of the baseline had a TTFT"
    yield from bands.violations(columns)
    if trend := _trend(rows, measurement):
        yield trend


def _trend(rows: Sequence[Request], measurement: Measurement) -> str | None:
    """Return a sentence if TTFT drifts: a slope that is certain (95 % by Student's t) and matters.

    The slope is that of the batches' medians, and as uncertain as neighbouring batches resemble
    each other: single requests would call a machine's own ups and downs a drift. It matters from
    25 % of the median on, but never below what a band forgives as noise.
    """
    times, values = _batch_medians(rows, measurement)
    if len(values) < _TREND_BATCHES:
        return None
    slope, intercept = linear_regression(times.tolist(), values.tolist())
    residual = values - intercept - slope * times
    squares, spread = float(residual @ residual), float(((times - times.mean()) ** 2).sum())
    error = math.sqrt(inflation([residual]) * squares / (len(values) - 2) / spread)
    certain = abs(slope) > scipy.special.stdtrit(len(values) - 2, 0.975) * error
    drift = slope * (times[-1] - times[0])
    matters = max((TREND_FACTOR - 1) * float(np.median(values)), measurement.band_floor_seconds)
    if certain and abs(drift) > matters:
        return f"TTFT drifts by {drift:+.3g} s over the baseline"
    return None


def _batch_medians(rows: Sequence[Request], measurement: Measurement) -> tuple[Seconds, Seconds]:
    """Return the middle (s) and the median TTFT of each whole batch of a baseline."""
    served = [(r.sched_ns * NANO, t) for r in rows if (t := ttft_seconds(r)) is not None]
    if len(served) < 2:
        return np.empty(0), np.empty(0)
    times, values = (np.array(column) for column in zip(*served, strict=True))
    times = times - times[0]
    length = max(measurement.batch_seconds, BATCH_REQUESTS * times[-1] / len(times))
    batch = (times // length).astype(int)
    whole = range(int((times[-1] + times[-1] / len(times)) // length))
    found = [(at, inside) for at in whole if len(inside := values[batch == at])]
    middles = np.array([(at + 0.5) * length for at, _ in found])
    return middles, np.array([float(np.median(inside)) for _, inside in found])


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Whether some requests show a steady state; true only if every band holds."""

    holds: bool
    reason: str

    def __bool__(self) -> bool:
        """Return whether it holds."""
        return self.holds


def steady(requests: Sequence[Request], bands: Bands) -> Steady:
    """Return whether the baseline was steady and these requests lie within its bands."""
    rows = [r for r in requests if not r.censored and r.phase != "warmup"]
    problems = [*bands.problems, *bands.violations(rows)]
    if problems:
        return Steady(holds=False, reason="; ".join(dict.fromkeys(problems)))
    return Steady(holds=True, reason=f"all bands hold over {len(rows)} requests")
