"""When users are served as before again: windows slid over the time after a fault. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from hotfire.measure.bands import Bands
from hotfire.measure.columns import Columns
from hotfire.measure.comparison import SLOW_WINDOW_SHARE, Before, Control, Figure, Shift, Stretch
from hotfire.measure.equivalence import Equivalence, equivalence
from hotfire.measure.history import Request
from hotfire.measure.latency import Latency, Seconds
from hotfire.measure.request_times import NANO, longest_stall_seconds
from hotfire.profile import Measurement
from hotfire.verdict import Verdict

SECOND_NS = 1_000_000_000
STEP_NS = SECOND_NS
BAD_SHARE = SLOW_WINDOW_SHARE


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
    failures: Shift

    @property
    def relapsed(self) -> bool:
        """Whether it is shown to have failures, which no machine's noise explains."""
        return self.failures.worse


@dataclass(frozen=True, slots=True)
class Looks:
    """What every look of a search compares: the requests, and the state before them."""

    rows: Columns
    before: Before
    controls: tuple[Control, ...]

    @classmethod
    def at(
        cls, requests: Sequence[Request], before: Before, controls: Iterable[Control]
    ) -> "Looks":
        """Return the looks at some requests, in scheduled order; those of controls are left out."""
        known = tuple(controls)
        names = frozenset[str]().union(*(control.names for control in known))
        rows = Columns.of([row for row in requests if row.served_by not in names])
        return cls(rows, before, known)

    def windows(self, start_ns: int) -> list[Window]:
        """Return every window that the history covers to its end, one a second."""
        measurement = self.before.measurement
        width = round(measurement.window_seconds * SECOND_NS)
        windows: list[Window] = []
        while len(self.rows):
            begin = start_ns + len(windows) * STEP_NS
            first = self.rows.place(begin)
            last = max(self.rows.place(begin + width), first + measurement.window_requests)
            if last > len(self.rows) or begin + width > self.rows.sched_ns[-1]:
                break
            inside = self.rows.part(first, last)
            windows.append(
                Window(
                    start_ns=begin,
                    end_ns=max(begin + width, int(inside.sched_ns[-1]) + 1),
                    requests=len(inside),
                    success_wilson_lower=wilson_lower(int(inside.complete.sum()), len(inside)),
                    failures=self.before.failures_in_window(inside),
                )
            )
        return windows

    def worse_in(self, window: Window) -> tuple[Shift, ...]:
        """Return what is shown to be worse in a window."""
        inside = Stretch.cut(self.rows, window.start_ns, window.end_ns)
        return _worse(self.before.in_window(inside))

    def hold(self, start_ns: int) -> tuple[Shift, ...]:
        """Return how the hold from a moment on compares; empty where it was not watched whole."""
        end_ns = start_ns + self.hold_ns
        if not len(self.rows) or self.rows.sched_ns[-1] < end_ns:
            return ()
        return self.before.over_hold(Stretch.cut(self.rows, start_ns, end_ns))

    def is_bad(self, start_ns: int, end_ns: int) -> bool:
        """Return whether chance does not explain how many requests were not served well."""
        rows = Stretch.cut(self.rows, start_ns, end_ns).rows
        bad = len(rows) - int(self.before.bands.good(rows).sum())
        return bad > len(rows) * self.before.slow_limit((end_ns - start_ns) * NANO)

    def controls_moved(self, start_ns: int) -> list[str]:
        """Return how what the fault did not touch was slower over the hold from a moment on."""
        end_ns = start_ns + self.hold_ns
        return [one for control in self.controls for one in control.moved(start_ns, end_ns)]

    @property
    def hold_ns(self) -> int:
        """Length of the hold."""
        return math.ceil(self.before.measurement.hold_seconds * SECOND_NS)


def _worse(shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    return tuple(shift for shift in shifts if shift.worse)


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
    looks: Looks
    windows: tuple[Window, ...]
    """One a second from clearing on (from injection, if never cleared)."""
    hold: tuple[Shift, ...]
    """How the hold after the recovery compares with the baseline; empty without one."""
    control_moved: tuple[str, ...]
    """How what the fault did not touch was slower over that hold; empty: it was not."""
    noise: tuple[str, ...]
    """Why "as before" cannot be told from an effect worth finding; empty: it can."""
    same: tuple[Equivalence, ...]
    """Whether users were served the same after recovery as before the fault; empty before it."""

    def judge(self, limit_seconds: float) -> tuple[Verdict, str]:
        """Return the verdict on a recovery budget, counted from clearing, and its reason.

        Failed only where users are shown to be served worse from the limit on: for good, by
        failures, or because they had not been served as before up to then. A slow spell that came
        later and went again may be the target's or the machine's, and so may be all of it where
        the control group was slower too. Passed only where an effect worth finding would have been
        found.
        """
        took = self.recovered_from_clearing_seconds
        if took is not None and took <= limit_seconds:
            if self.noise:
                return Verdict.INCONCLUSIVE, f"too noisy to judge: {'; '.join(self.noise)}"
            told = f"recovered {took:.1f} s after clearing, limit {limit_seconds:g} s"
            return Verdict.PASSED, told
        worse = self._worse_from(limit_seconds)
        late = took is not None and self._late(limit_seconds, took)
        if not (worse or late):
            return self._undecided(limit_seconds)
        how = "not as before" if took is None else f"recovered {took:.1f} s after clearing, not"
        seen = f"{how} within {limit_seconds:g} s: {'; '.join(map(str, worse))}"
        excuse = self._excuse(limit_seconds, worse, late=late)
        verdict = Verdict.INCONCLUSIVE if excuse else Verdict.FAILED
        return verdict, f"{seen.removesuffix(': ')}{excuse}"

    def _undecided(self, limit_seconds: float) -> tuple[Verdict, str]:
        """Return the verdict where nothing is shown to be worse from the limit on."""
        took = self.recovered_from_clearing_seconds
        if took is None:
            watched = self.censored_after_seconds or 0.0
            return Verdict.INCONCLUSIVE, (
                f"the history ends {watched:.0f} s after clearing, too early to tell whether users"
                f" were served as before within {limit_seconds:g} s and stayed so"
            )
        if self.noise:
            return Verdict.INCONCLUSIVE, f"too noisy to judge: {'; '.join(self.noise)}"
        return Verdict.PASSED, (
            f"recovered {took:.1f} s after clearing, limit {limit_seconds:g} s: later by less than"
            " can be told from chance"
        )

    def _excuse(self, limit_seconds: float, worse: Sequence[Shift], *, late: bool) -> str:
        """Return what else than the target may have made it worse; empty: nothing.

        Failed requests have no excuse, nor has a service that was slow up to the limit or for good.
        """
        if any(shift.figure is Figure.FAILURES for shift in worse):
            return ""
        if self.recovered_from_clearing_seconds is not None and not late:
            return (
                f"; it was served as before at {limit_seconds:g} s, so the slow spell after that"
                " may have had another cause"
            )
        moved = self.looks.controls_moved(self._from(limit_seconds)[0].start_ns) if worse else ()
        if not moved:
            return ""
        return (
            "; but what the fault did not touch was slower too, so it may have been the machine:"
            f" {'; '.join(moved)}"
        )

    def _late(self, limit_seconds: float, took_seconds: float) -> bool:
        """Return whether users were still not served well when the limit was reached.

        By more requests than chance explains in the second before it, and from it to the recovery.
        """
        origin = self.windows[0].start_ns
        limit_ns, took_ns = (
            origin + round(each * SECOND_NS) for each in (limit_seconds, took_seconds)
        )
        sides = ((limit_ns - SECOND_NS, limit_ns), (limit_ns, took_ns))
        return all(self.looks.is_bad(*side) for side in sides)

    def _worse_from(self, limit_seconds: float) -> tuple[Shift, ...]:
        """Return what is shown to be worse from the limit on, each figure once."""
        windows = self._from(limit_seconds)
        if not windows:
            return ()
        last_ns = windows[0].start_ns + self.looks.hold_ns
        relapses = (w.failures for w in windows if w.relapsed and w.start_ns <= last_ns)
        hold = _worse(self.looks.hold(windows[0].start_ns))
        found = [*hold, *self.looks.worse_in(windows[0]), *relapses]
        return tuple({shift.figure: shift for shift in reversed(found)}.values())

    def _from(self, limit_seconds: float) -> tuple[Window, ...]:
        """Return the windows from the limit on."""
        return self.windows[math.ceil(limit_seconds * SECOND_NS / STEP_NS) :]


def recover(
    requests: Sequence[Request],
    *,
    injected_ns: int,
    cleared_ns: int | None,
    before: Before,
    controls: Sequence[Control] = (),
) -> Recovery:
    """Return when users were served as before again after a fault, and what they lost.

    Requests are binned by scheduled time. A window starts each second after the injection and
    lasts ``window_seconds``, longer where it needs to reach ``window_requests``. Recovered is the
    start of the first window that is not shown to be worse, with a hold after it that is not
    either and has no window with failures; moved to the first request served as before (see
    ``_boundary``). Searched twice: from the injection, and from the clearing, since undoing a
    fault may itself disturb. What a control served is no part of the search.
    """
    rows = _known(requests)
    looks = Looks.at(rows, before, controls)
    origin = injected_ns if cleared_ns is None else cleared_ns
    windows, from_injection = _search(looks, injected_ns)
    from_clearing = from_injection
    if origin != injected_ns:
        windows, from_clearing = _search(looks, origin)
    touched = _touched(requests, injected_ns, from_clearing)
    errors = [r.end_ns or r.sched_ns for r in touched if r.failed]
    bands = before.bands
    return Recovery(
        recovered_from_injection_seconds=_since(from_injection, injected_ns),
        recovered_from_clearing_seconds=_since(from_clearing, origin),
        censored_after_seconds=_censored(rows, origin) if from_clearing is None else None,
        first_error_seconds=_since(min(errors, default=None), injected_ns),
        outage_seconds=float(_outage(rows, injected_ns, from_clearing)),
        lost_requests=sum(r.failed for r in touched),
        lost_streams=sum(r.stream_lost for r in touched),
        violating_requests=_violating(touched, bands),
        goodput_lost_requests=_goodput_lost(touched, bands),
        longest_stall_seconds=max((longest_stall_seconds(r) or 0.0 for r in touched), default=0.0),
        ttft_during=Latency.of(
            _measured(Stretch.cut(Columns.of(rows), injected_ns, origin).rows.ttft)
        ),
        looks=looks,
        windows=tuple(windows),
        hold=() if from_clearing is None else looks.hold(from_clearing),
        control_moved=() if from_clearing is None else tuple(looks.controls_moved(from_clearing)),
        noise=tuple(before.noise()),
        same=_same(rows, injected_ns, from_clearing, before.measurement),
    )


def _search(looks: Looks, start_ns: int) -> tuple[list[Window], int | None]:
    """Return the windows from a moment on, and when users were served as before again.

    The hold counts from that very moment, not from the window it was found in.
    """
    windows = looks.windows(start_ns)
    place = _next_held(looks, windows, 0)
    while place is not None:
        found = _boundary(looks.rows, looks.before.bands, windows[place], not_before_ns=start_ns)
        last_ns = found + looks.hold_ns
        watched = [window for window in windows[place:] if window.start_ns <= last_ns]
        relapse = next((at for at, window in enumerate(watched) if window.relapsed), None)
        if relapse is None:
            if windows[-1].start_ns < last_ns:
                return windows, None
            if not _worse(looks.hold(found)):
                return windows, found
        place = _next_held(looks, windows, place + (relapse or 1))
    return windows, None


def _next_held(looks: Looks, windows: Sequence[Window], first: int) -> int | None:
    """Return the place of the first window from there on that is not shown to be worse."""
    places = range(first, len(windows))
    return next((place for place in places if not looks.worse_in(windows[place])), None)


def _boundary(rows: Columns, bands: Bands, held: Window, *, not_before_ns: int) -> int:
    """Return the moment within a second before, or inside, the first held window.

    Windows start on whole seconds, and one may begin before the fault's end: it forgives a few
    requests. So the end of the stretch in which more than a fifth of the requests are not good is
    looked for, by the maximum of the cumulative sum of (bad - 1/5); recovered is the scheduled
    time of the request after it. Before the window's own start this counts only if what lies
    between is good.
    """
    first = rows.place(max(not_before_ns, held.start_ns - STEP_NS))
    inside = rows.part(first, rows.place(held.end_ns))
    sums = np.cumsum(~bands.good(inside) - BAD_SHARE)
    if not len(sums):
        return held.start_ns
    last_bad = int(np.argmax(sums))
    if sums[last_bad] <= 0 or last_bad + 1 == len(sums):
        return held.start_ns
    return int(inside.sched_ns[last_bad + 1])


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
