"""Windows slid over the time after a fault: since when users are served as before. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from hotfire.measure.bands import Bands
from hotfire.measure.columns import Columns
from hotfire.measure.comparison import SLOW_WINDOW_SHARE, Before, Control, Shift, Stretch
from hotfire.measure.history import Request
from hotfire.measure.request_times import NANO

SECOND_NS: Final = 1_000_000_000
STEP_NS: Final = SECOND_NS


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
        return shown_worse(self.before.in_window(inside))

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


def shown_worse(shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    """Return those of some shifts that are worse."""
    return tuple(shift for shift in shifts if shift.worse)


def search(looks: Looks, start_ns: int) -> tuple[list[Window], int | None]:
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
            if not shown_worse(looks.hold(found)):
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
    sums = np.cumsum(~bands.good(inside) - SLOW_WINDOW_SHARE)
    if not len(sums):
        return held.start_ns
    last_bad = int(np.argmax(sums))
    if sums[last_bad] <= 0 or last_bad + 1 == len(sums):
        return held.start_ns
    return int(inside.sched_ns[last_bad + 1])
