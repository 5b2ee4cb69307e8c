"""When users are served as before again: bands fixed before a fault, windows slid over it. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, linear_regression, median

from hotfire.history import Request
from hotfire.profile import Budgets, Measurement
from hotfire.slo import (
    NANO,
    Latency,
    longest_stall_seconds,
    percentile,
    tpot_seconds,
    ttft_seconds,
)
from hotfire.verdict import Verdict

SECOND_NS = 1_000_000_000
STEP_NS = SECOND_NS
SUCCESS_RATIO = 0.99
GOODPUT_FACTOR = 0.95
TREND_FACTOR = 1.25


def wilson_lower(successes: int, trials: int, *, confidence: float = 0.95) -> float:
    """Return the lower end of Wilson's two-sided interval of a ratio; 0 for no trials."""
    if not trials:
        return 0.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    ratio = successes / trials
    centre = ratio + z * z / (2 * trials)
    spread = z * math.sqrt(ratio * (1 - ratio) / trials + z * z / (4 * trials * trials))
    return max(0.0, (centre - spread) / (1 + z * z / trials))


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
        ttft = _p95([r for r in rows if r.complete], "ttft")
        tpot = _p95([r for r in rows if r.complete], "tpot")
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
        goodput = _ratio(sum(bands.good(r) for r in rows), len(rows))
        return cls(
            success_ratio=bands.success_ratio,
            ttft_p95_seconds=bands.ttft_p95_seconds,
            tpot_p95_seconds=bands.tpot_p95_seconds,
            goodput_ratio=GOODPUT_FACTOR * goodput,
            problems=tuple(_baseline_problems(rows, bands, measurement)),
        )

    def good(self, request: Request) -> bool:
        """Return whether one request is complete and within both latency limits."""
        ttft, tpot = ttft_seconds(request), tpot_seconds(request)
        slow = self.ttft_p95_seconds is None or ttft is None or ttft > self.ttft_p95_seconds
        dragging = (
            self.tpot_p95_seconds is not None and tpot is not None and tpot > self.tpot_p95_seconds
        )
        return request.complete and not slow and not dragging

    def violations(self, requests: Sequence[Request]) -> list[str]:
        """Return which bands some requests break, each as a sentence; empty: all hold."""
        if not requests:
            return ["no requests"]
        found = []
        success = _ratio(sum(r.complete for r in requests), len(requests))
        if success < self.success_ratio:
            found.append(f"success {success:.4f} below {self.success_ratio:g}")
        for name, limit in (("ttft", self.ttft_p95_seconds), ("tpot", self.tpot_p95_seconds)):
            seen = _p95(requests, name)
            if limit is not None and seen is not None and seen > limit:
                found.append(f"p95 {name} {seen:.4g} s above {limit:.4g} s")
        goodput = _ratio(sum(self.good(r) for r in requests), len(requests))
        if goodput < self.goodput_ratio:
            found.append(f"goodput {goodput:.4f} below {self.goodput_ratio:.4f}")
        return found


def _limit(
    baseline: float | None, factor: float, floor: float, budget: float | None
) -> float | None:
    if baseline is None:
        return budget
    return min(budget or math.inf, max(factor * baseline, baseline + floor))


def _p95(requests: Iterable[Request], name: str) -> float | None:
    """Return the p95 of a figure, failed requests infinite; None if nothing was measured."""
    measure = {"ttft": ttft_seconds, "tpot": tpot_seconds}[name]
    values = [measure(r) if r.complete else math.inf for r in requests]
    known = [value for value in values if value is not None]
    return percentile(known, 95) if known else None


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _baseline_problems(
    rows: Sequence[Request], bands: Bands, measurement: Measurement
) -> Iterable[str]:
    span = (rows[-1].sched_ns - rows[0].sched_ns) * NANO if rows else 0.0
    # Arrivals at a rate cover their duration but for about one gap at each end.
    slack = 2 * span / len(rows) if rows else 0.0
    if len(rows) < measurement.baseline_requests:
        yield f"the baseline has {len(rows)} requests of {measurement.baseline_requests}"
    if span + slack < measurement.baseline_seconds:
        yield f"the baseline lasted {span:.1f} s of {measurement.baseline_seconds:g} s"
    if not any(r.complete for r in rows):
        yield "no request of the baseline was complete"
    yield from bands.violations(rows)
    if trend := _trend(rows, floor_seconds=measurement.band_floor_seconds):
        yield trend


def _trend(rows: Sequence[Request], *, floor_seconds: float) -> str | None:
    """Return a sentence if TTFT drifts: a slope that is certain (95 %) and matters.

    It matters from 25 % of the median on, but never below what a band forgives as noise.
    """
    points = [(r.sched_ns * NANO, t) for r in rows if (t := ttft_seconds(r)) is not None]
    if len(points) < 30:
        return None
    start = points[0][0]
    times, values = [at - start for at, _ in points], [value for _, value in points]
    slope, intercept = linear_regression(times, values)
    mean = math.fsum(times) / len(times)
    spread = math.fsum((at - mean) ** 2 for at in times)
    residual = math.fsum(
        (v - intercept - slope * at) ** 2 for at, v in zip(times, values, strict=True)
    )
    error = math.sqrt(residual / (len(points) - 2) / spread)
    certain = abs(slope) > NormalDist().inv_cdf(0.975) * error
    drift = slope * times[-1]
    if certain and abs(drift) > max((TREND_FACTOR - 1) * median(values), floor_seconds):
        return f"TTFT drifts by {drift:+.3g} s over the baseline"
    return None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of the recovery search."""

    start_ns: int
    end_ns: int
    requests: int
    success_wilson_lower: float
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a fault looked to users. Times are seconds from injection unless named otherwise."""

    recovered_from_injection_seconds: float | None
    """None: not within the history."""
    recovered_from_clearing_seconds: float | None
    """0 if users were served as before at the clearing and stayed so; None: not within it."""
    censored_after_seconds: float | None
    """From clearing (or injection, if never cleared) to the history's end, if it did not recover
    within it: recovery took longer than that, or was not watched long enough."""
    last_violation_from_clearing_seconds: float | None
    """Start of the last window that did not hold; None: every window held, or none was full."""
    first_error_seconds: float | None
    outage_seconds: float
    """Whole seconds from whose scheduled requests none was complete."""
    lost_requests: int
    lost_streams: int
    violating_requests: int
    """Requests failed or slower than the bands: the area of the fault."""
    longest_stall_seconds: float
    ttft_during: Latency
    """Of the requests scheduled between injection and clearing, failed ones infinite."""
    last_violation: str
    """What the last window that did not hold broke; empty if every window held."""
    windows: tuple[Window, ...]

    def judge(self, limit_seconds: float) -> tuple[Verdict, str]:
        """Return the verdict on a recovery budget, counted from clearing, and its reason."""
        took = self.recovered_from_clearing_seconds
        if took is not None:
            verdict = Verdict.PASSED if took <= limit_seconds else Verdict.FAILED
            return verdict, f"recovered {took:.0f} s after clearing, limit {limit_seconds:g} s"
        violated = self.last_violation_from_clearing_seconds
        if violated is not None and violated >= limit_seconds:
            seen = f"not as before {violated:.0f} s after clearing, limit {limit_seconds:g} s"
            return Verdict.FAILED, f"{seen}: {self.last_violation}"
        watched = self.censored_after_seconds or 0.0
        return Verdict.INCONCLUSIVE, (
            f"the history ends {watched:.0f} s after clearing, too early to tell whether users were"
            f" served as before within {limit_seconds:g} s and stayed so"
        )


def recover(
    requests: Sequence[Request],
    *,
    injected_ns: int,
    cleared_ns: int | None,
    bands: Bands,
    measurement: Measurement,
) -> Recovery:
    """Return when the bands held again after a fault, and what users lost.

    Requests are binned by scheduled time. A window starts each second after the injection and
    lasts ``window_seconds``, longer where it needs to reach ``window_requests``. Recovered is the
    start of the first window from which on every window holds for ``hold_seconds``. Searched twice:
    from the injection, and from the clearing, since undoing a fault may itself disturb.
    """
    rows = _known(requests)
    origin = injected_ns if cleared_ns is None else cleared_ns
    windows = _windows(rows, bands, measurement, start_ns=injected_ns)
    after = windows
    if cleared_ns is not None:
        after = _windows(rows, bands, measurement, start_ns=cleared_ns)
    from_injection = _first_held(windows, measurement)
    from_clearing = _first_held(after, measurement)
    touched = [r for r in requests if (r.end_ns or r.sched_ns) >= injected_ns]
    during = [r for r in rows if injected_ns <= r.sched_ns < origin]
    last_ns = rows[-1].sched_ns if rows else origin
    broken = [window for window in after if window.violations]
    errors = [r.end_ns or r.sched_ns for r in touched if r.failed]
    return Recovery(
        recovered_from_injection_seconds=_since(from_injection, injected_ns),
        recovered_from_clearing_seconds=_since(from_clearing, origin),
        censored_after_seconds=_since(last_ns, origin) if from_clearing is None else None,
        last_violation_from_clearing_seconds=_since(
            broken[-1].start_ns if broken else None, origin
        ),
        first_error_seconds=_since(min(errors, default=None), injected_ns),
        outage_seconds=float(_outage(r for r in rows if r.sched_ns >= injected_ns)),
        lost_requests=sum(r.failed for r in touched),
        lost_streams=sum(r.stream_lost for r in touched),
        violating_requests=sum(not bands.good(r) for r in touched if not r.censored),
        longest_stall_seconds=max((longest_stall_seconds(r) or 0.0 for r in touched), default=0.0),
        ttft_during=Latency.of(_ttfts(during)),
        last_violation="; ".join(broken[-1].violations) if broken else "",
        windows=tuple(windows),
    )


def _known(requests: Sequence[Request]) -> list[Request]:
    """Return what tells something about the target, in scheduled order.

    Everything from the first censored request on is left out too: its neighbours that did end
    would be a selection of the fast ones.
    """
    rows = sorted((r for r in requests if r.sent), key=lambda r: r.sched_ns)
    first = next((place for place, r in enumerate(rows) if r.censored), len(rows))
    return rows[:first]


def settled(requests: Iterable[Request]) -> list[Request]:
    """Return the requests before the first whose row is still to come, while a load runs.

    Rows are written as requests end, so the latest rows are a selection of the fast ones.
    """
    ordered = sorted(requests, key=lambda r: r.seq)
    return [request for place, request in enumerate(ordered) if request.seq == place]


def _since(at_ns: int | None, origin_ns: int) -> float | None:
    return None if at_ns is None else max(0.0, (at_ns - origin_ns) * NANO)


def _ttfts(requests: Iterable[Request]) -> list[float]:
    values = (ttft_seconds(r) if r.complete else math.inf for r in requests)
    return [value for value in values if value is not None]


def _windows(
    rows: Sequence[Request], bands: Bands, measurement: Measurement, *, start_ns: int
) -> list[Window]:
    """Return every window that the history covers to its end."""
    stamps = [r.sched_ns for r in rows]
    width = round(measurement.window_seconds * SECOND_NS)
    windows: list[Window] = []
    while stamps:
        begin = start_ns + len(windows) * STEP_NS
        first = bisect_left(stamps, begin)
        last = max(bisect_left(stamps, begin + width), first + measurement.window_requests)
        if last > len(stamps) or begin + width > stamps[-1]:
            break
        inside = rows[first:last]
        windows.append(
            Window(
                start_ns=begin,
                end_ns=max(begin + width, inside[-1].sched_ns),
                requests=len(inside),
                success_wilson_lower=wilson_lower(sum(r.complete for r in inside), len(inside)),
                violations=tuple(bands.violations(inside)),
            )
        )
    return windows


def _first_held(windows: Sequence[Window], measurement: Measurement) -> int | None:
    """Return the start of the first window from which all hold for the hold time."""
    needed = math.ceil(measurement.hold_seconds * SECOND_NS / STEP_NS) + 1
    run = 0
    for window in windows:
        run = 0 if window.violations else run + 1
        if run == needed:
            return window.start_ns - (needed - 1) * STEP_NS
    return None


def _outage(rows: Iterable[Request]) -> int:
    """Return the seconds in which nothing scheduled was complete.

    A second without arrivals belongs to an outage if those around it do.
    """
    bins: dict[int, bool] = {}
    for row in rows:
        second = row.sched_ns // SECOND_NS
        bins[second] = bins.get(second, False) or row.complete
    total, open_since = 0, None
    for second in sorted(bins):
        if bins[second]:
            open_since = None
            continue
        total += 1 if open_since is None else second - open_since
        open_since = second
    return total
