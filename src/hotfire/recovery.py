"""When users are served as before again: windows slid over the time after a fault. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np

from hotfire.bands import Bands
from hotfire.columns import Columns, Seconds
from hotfire.equivalence import Equivalence, equivalence
from hotfire.history import Request
from hotfire.profile import Measurement
from hotfire.slo import NANO, Latency, longest_stall_seconds
from hotfire.verdict import Verdict

SECOND_NS = 1_000_000_000
STEP_NS = SECOND_NS
BAD_SHARE = 0.2
"""Share of bad requests from which a stretch belongs to the fault."""


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
class Window:
    """One window of the recovery search."""

    start_ns: int
    end_ns: int
    requests: int
    success_wilson_lower: float
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a fault looked to users, from injection to recovery, or to the history's end without one.

    Times are seconds from injection unless named otherwise.
    """

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
    """Requests failed or slower than the bands."""
    goodput_lost_requests: float
    """Area between the baseline's goodput and the one seen: requests that would have been served
    well, and were not."""
    longest_stall_seconds: float
    ttft_during: Latency
    """Of the requests scheduled between injection and clearing, failed ones infinite."""
    last_violation: str
    """What the last window that did not hold broke; empty if every window held."""
    windows: tuple[Window, ...]
    same: tuple[Equivalence, ...]
    """Whether users were served the same after recovery as before the fault; empty before it."""

    def judge(self, limit_seconds: float) -> tuple[Verdict, str]:
        """Return the verdict on a recovery budget, counted from clearing, and its reason."""
        took = self.recovered_from_clearing_seconds
        if took is not None:
            verdict = Verdict.PASSED if took <= limit_seconds else Verdict.FAILED
            return verdict, f"recovered {took:.1f} s after clearing, limit {limit_seconds:g} s"
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
    start of the first window from which on every window holds for ``hold_seconds``, moved to the
    first request served as before (see ``_boundary``). Searched twice: from the injection, and
    from the clearing, since undoing a fault may itself disturb.
    """
    rows = _known(requests)
    columns = Columns.of(rows)
    origin = injected_ns if cleared_ns is None else cleared_ns
    search = partial(_search, columns, bands, measurement)
    windows, from_injection = search(injected_ns)
    after, from_clearing = search(origin) if origin != injected_ns else (windows, from_injection)
    touched = _touched(requests, injected_ns, from_clearing)
    broken = [window for window in after if window.violations]
    errors = [r.end_ns or r.sched_ns for r in touched if r.failed]
    return Recovery(
        recovered_from_injection_seconds=_since(from_injection, injected_ns),
        recovered_from_clearing_seconds=_since(from_clearing, origin),
        censored_after_seconds=_censored(rows, origin) if from_clearing is None else None,
        last_violation_from_clearing_seconds=_since(
            broken[-1].start_ns if broken else None, origin
        ),
        first_error_seconds=_since(min(errors, default=None), injected_ns),
        outage_seconds=float(_outage(rows, injected_ns, from_clearing)),
        lost_requests=sum(r.failed for r in touched),
        lost_streams=sum(r.stream_lost for r in touched),
        violating_requests=_violating(touched, bands),
        goodput_lost_requests=_goodput_lost(touched, bands),
        longest_stall_seconds=max((longest_stall_seconds(r) or 0.0 for r in touched), default=0.0),
        ttft_during=Latency.of(
            _measured(columns.part(columns.place(injected_ns), columns.place(origin)).ttft)
        ),
        last_violation="; ".join(broken[-1].violations) if broken else "",
        windows=tuple(windows),
        same=_same(rows, injected_ns, from_clearing, measurement),
    )


def _search(
    rows: Columns, bands: Bands, measurement: Measurement, start_ns: int
) -> tuple[list[Window], int | None]:
    """Return the windows from a moment on, and when users were served as before again.

    The hold time counts from that very moment, not from the window it was found in.
    """
    windows = _windows(rows, bands, measurement, start_ns=start_ns)
    hold_ns = math.ceil(measurement.hold_seconds * SECOND_NS)
    place = _next_held(windows, 0)
    while place is not None:
        found = _boundary(rows, bands, windows[place], not_before_ns=start_ns)
        last_ns = found + hold_ns
        watched = [window for window in windows[place:] if window.start_ns <= last_ns]
        broken = next((at for at, window in enumerate(watched) if window.violations), None)
        if broken is None:
            enough = windows[-1].start_ns >= last_ns
            return windows, found if enough else None
        place = _next_held(windows, place + broken)
    return windows, None


def _next_held(windows: Sequence[Window], first: int) -> int | None:
    """Return the place of the first window from there on that breaks no band."""
    places = range(first, len(windows))
    return next((place for place in places if not windows[place].violations), None)


def _boundary(rows: Columns, bands: Bands, held: Window, *, not_before_ns: int) -> int:
    """Return the moment within a second before, or inside, the first held window.

    Windows start on whole seconds, and one may begin before the fault's end: it forgives a few
    requests. So the end of the stretch in which more than a fifth of the requests are not good is
    looked for, by the maximum of the cumulative sum of (bad - 1/5); recovered is the scheduled
    time of the request after it. Before the window's own start this counts only if a window from
    there holds as well.
    """
    first = rows.place(max(not_before_ns, held.start_ns - STEP_NS))
    inside = rows.part(first, rows.place(held.end_ns))
    sums = np.cumsum(~bands.good(inside) - BAD_SHARE)
    if not len(sums):
        return held.start_ns
    last_bad = int(np.argmax(sums))
    if sums[last_bad] <= 0 or last_bad + 1 == len(sums):
        return held.start_ns
    found = int(inside.sched_ns[last_bad + 1])
    earlier = rows.part(rows.place(found), rows.place(found + held.end_ns - held.start_ns))
    if found < held.start_ns and bands.violations(earlier):
        return held.start_ns
    return found


def _touched(
    requests: Sequence[Request], injected_ns: int, recovered_ns: int | None
) -> list[Request]:
    """Return whom the fault may have harmed: in flight at the injection, or before the recovery."""
    return [
        r
        for r in requests
        if (r.end_ns or r.sched_ns) >= injected_ns
        and (recovered_ns is None or r.sched_ns < recovered_ns)
    ]


def _violating(requests: Sequence[Request], bands: Bands) -> int:
    known = Columns.of([r for r in requests if not r.censored])
    return len(known) - int(bands.good(known).sum())


def _goodput_lost(requests: Sequence[Request], bands: Bands) -> float:
    """Return how many fewer requests were good than at the baseline's goodput."""
    columns = Columns.of([r for r in requests if r.sent and not r.censored])
    expected = bands.baseline_goodput_ratio * len(columns)
    return max(0.0, expected - float(bands.good(columns).sum()))


def _same(
    rows: Sequence[Request], injected_ns: int, recovered_ns: int | None, measurement: Measurement
) -> tuple[Equivalence, ...]:
    if recovered_ns is None:
        return ()
    end_ns = recovered_ns + round(
        (measurement.hold_seconds + measurement.window_seconds) * SECOND_NS
    )
    before = Columns.of([r for r in rows if r.sched_ns < injected_ns and r.phase != "warmup"])
    after = Columns.of([r for r in rows if recovered_ns <= r.sched_ns < end_ns])
    found = (equivalence(name, before, after) for name in ("ttft", "tpot"))
    return tuple(each for each in found if each is not None)


def _measured(values: Seconds) -> Seconds:
    return values[~np.isnan(values)]


def _censored(rows: Sequence[Request], origin_ns: int) -> float | None:
    return _since(rows[-1].sched_ns if rows else origin_ns, origin_ns)


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


def _windows(
    rows: Columns, bands: Bands, measurement: Measurement, *, start_ns: int
) -> list[Window]:
    """Return every window that the history covers to its end."""
    width = round(measurement.window_seconds * SECOND_NS)
    windows: list[Window] = []
    while len(rows):
        begin = start_ns + len(windows) * STEP_NS
        first = rows.place(begin)
        last = max(rows.place(begin + width), first + measurement.window_requests)
        if last > len(rows) or begin + width > rows.sched_ns[-1]:
            break
        inside = rows.part(first, last)
        windows.append(
            Window(
                start_ns=begin,
                end_ns=max(begin + width, int(inside.sched_ns[-1])),
                requests=len(inside),
                success_wilson_lower=wilson_lower(int(inside.complete.sum()), len(inside)),
                violations=tuple(bands.violations(inside)),
            )
        )
    return windows


def _outage(rows: Iterable[Request], injected_ns: int, recovered_ns: int | None) -> int:
    """Return the seconds, from injection to recovery, of whose requests none was complete.

    A second without arrivals belongs to an outage if those around it do.
    """
    first = injected_ns // SECOND_NS
    last = math.inf if recovered_ns is None else recovered_ns // SECOND_NS
    bins: dict[int, bool] = {}
    for row in rows:
        second = row.sched_ns // SECOND_NS
        if first <= second <= last:
            bins[second] = bins.get(second, False) or row.complete
    total, open_since = 0, None
    for second in sorted(bins):
        if bins[second]:
            open_since = None
            continue
        total += 1 if open_since is None else second - open_since
        open_since = second
    return total
