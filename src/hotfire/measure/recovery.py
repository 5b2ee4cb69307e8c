"""How a fault looked to users: what they lost, and when they were served as before. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hotfire.measure.bands import Bands
from hotfire.measure.columns import Columns
from hotfire.measure.comparison import Before, Control, Figure, Shift, Stretch
from hotfire.measure.equivalence import Equivalence, equivalence
from hotfire.measure.history import Request
from hotfire.measure.latency import Latency, known
from hotfire.measure.request_times import NANO, longest_stall_seconds
from hotfire.measure.search import SECOND_NS, STEP_NS, Looks, Window, search, shown_worse
from hotfire.profile import Measurement
from hotfire.verdict import Verdict


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
        hold = shown_worse(self.looks.hold(windows[0].start_ns))
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
    windows, from_injection = search(looks, injected_ns)
    from_clearing = from_injection
    if origin != injected_ns:
        windows, from_clearing = search(looks, origin)
    touched = _touched(requests, injected_ns, from_clearing)
    errors = [r.end_ns or r.sched_ns for r in touched if r.failed]
    violating, goodput_lost = _not_well_served(touched, before.bands)
    columns = Columns.of(rows)
    return Recovery(
        recovered_from_injection_seconds=_since(from_injection, injected_ns),
        recovered_from_clearing_seconds=_since(from_clearing, origin),
        censored_after_seconds=_censored(rows, origin) if from_clearing is None else None,
        first_error_seconds=_since(min(errors, default=None), injected_ns),
        outage_seconds=float(_outage(rows, injected_ns, from_clearing)),
        lost_requests=sum(r.failed for r in touched),
        lost_streams=sum(r.stream_lost for r in touched),
        violating_requests=violating,
        goodput_lost_requests=goodput_lost,
        longest_stall_seconds=max((longest_stall_seconds(r) or 0.0 for r in touched), default=0.0),
        ttft_during=Latency.of(known(Stretch.cut(columns, injected_ns, origin).rows.ttft)),
        looks=looks,
        windows=tuple(windows),
        hold=() if from_clearing is None else looks.hold(from_clearing),
        control_moved=() if from_clearing is None else tuple(looks.controls_moved(from_clearing)),
        noise=tuple(before.noise()),
        same=_same(rows, columns, injected_ns, from_clearing, before.measurement),
    )


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


def _not_well_served(requests: Sequence[Request], bands: Bands) -> tuple[int, float]:
    """Return how many were failed or slow, and how many fewer good than at the usual goodput."""
    rows = [r for r in requests if not r.censored]
    good = int(bands.good(Columns.of(rows)).sum())
    expected = bands.baseline_goodput_ratio * sum(r.sent for r in rows)
    return len(rows) - good, max(0.0, expected - good)


def _same(
    rows: Sequence[Request],
    columns: Columns,
    injected_ns: int,
    recovered_ns: int | None,
    measurement: Measurement,
) -> tuple[Equivalence, ...]:
    if recovered_ns is None:
        return ()
    end_ns = recovered_ns + round(
        (measurement.hold_seconds + measurement.window_seconds) * SECOND_NS
    )
    warm = np.fromiter((r.phase != "warmup" for r in rows), np.bool_, len(rows))
    before = columns.where(warm & (columns.sched_ns < injected_ns))
    after = Stretch.cut(columns, recovered_ns, end_ns).rows
    floors = {
        "ttft": measurement.band_floor_seconds,
        "tpot": measurement.band_floor_tpot_seconds,
    }
    found = (equivalence(name, before, after, floor_seconds=floors[name]) for name in floors)
    return tuple(each for each in found if each is not None)


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
