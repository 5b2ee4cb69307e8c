"""Waits until a Prometheus has scraped every engine anew, as long as its interval asks for."""

import time
from collections.abc import Sequence
from itertools import pairwise
from statistics import median, median_low
from typing import Final

from hotfire.engines.dialect import Dialect
from hotfire.errors import HarnessError
from hotfire.measure.crosscheck import USUAL
from hotfire.prometheus import Prometheus, ScrapeTarget, SeriesValue
from hotfire.waiting import until

_LOOK_BACK_SECONDS: Final = 300.0
"""Age at which Prometheus takes a series for gone: what it still tells of is scraped more often."""
_WINDOW: Final = "[15m]"
_SLACK_SECONDS: Final = 5.0
"""A scrape's own length and the time until it can be asked for."""
_POLL_SECONDS: Final = 0.5
_POLLS: Final = 60


class Scrapes:
    """The scrapes of the engines by one Prometheus."""

    def __init__(self, server: Prometheus, dialect: Dialect = USUAL) -> None:
        """Know the engines by a series that each of them tells.

        Raises:
            HarnessError: engines of this kind tell none that we know.
        """
        self._server = server
        if dialect.ttft is not None:
            self._series = f"{dialect.ttft.name}_count"
        elif dialect.running is not None:
            self._series = dialect.running.name
        else:
            raise HarnessError("of this kind of engine no series is known to tell a scrape by")

    def await_round(self) -> int:
        """Return how many series there are, once each was scraped after this call.

        The wait is twice the interval, which Prometheus' list of targets tells, or else the stamps
        of the last minutes; where neither does, as long as a series outlives its last scrape.

        Raises:
            HarnessError: Prometheus cannot be asked, or there was no such scrape; the message tells
                the interval and what Prometheus says of its last try.
        """
        began = time.time()
        interval = self.interval_seconds()
        if interval is None and not self._stamps():
            raise HarnessError(self._no_series())
        limit = _LOOK_BACK_SECONDS if interval is None else 2 * interval
        limit += _SLACK_SECONDS
        give_up = time.monotonic() + limit

        def looked() -> tuple[list[SeriesValue]] | None:
            """Return the stamps once they are new or it is too late for them, else nothing."""
            stamps = self._stamps()
            fresh = bool(stamps) and min(one.value for one in stamps) >= began
            return (stamps,) if fresh or time.monotonic() >= give_up else None

        found = until(
            looked,
            within_seconds=limit + _SLACK_SECONDS,
            what="a new scrape of every engine",
            poll_seconds=max(_POLL_SECONDS, (interval or 0.0) / _POLLS),
        )
        stamps = found[0] if found else []
        if not stamps:
            raise HarnessError(self._no_series())
        if late := [one for one in stamps if one.value < began]:
            raise HarnessError(self._overdue(late, limit, interval))
        return len(stamps)

    def interval_seconds(self) -> float | None:
        """Return how often the engines are scraped; None where nothing tells it."""
        return self._interval_listed() or self._interval_seen()

    # Parts

    def _stamps(self) -> list[SeriesValue]:
        return self._server.query(f"timestamp({self._series})")

    def _interval_listed(self) -> float | None:
        """Return the longest interval of the engines' targets; the usual one, while none is known.

        An engine that was started a moment ago has no series yet.
        """
        targets, stamps = self._targets(), self._stamps()
        mine = [one for one in targets if any(one.made(stamp.labels) for stamp in stamps)]
        known = [one.interval_seconds for one in mine if one.interval_seconds]
        if known or stamps:
            return max(known, default=None)
        every = [one.interval_seconds for one in targets if one.interval_seconds]
        return median_low(every) if every else None

    def _interval_seen(self) -> float | None:
        """Return the longest usual distance of two samples of the last minutes."""
        try:
            series = self._server.stamps(f"{self._series}{_WINDOW}")
        except HarnessError:
            return None
        gaps = [[later - earlier for earlier, later in pairwise(one)] for one in series]
        return max((median(one) for one in gaps if one), default=None)

    def _targets(self) -> list[ScrapeTarget]:
        try:
            return self._server.targets()
        except HarnessError:
            # Not every server that speaks Prometheus' language has a list of targets.
            return []

    def _no_series(self) -> str:
        told = self._complaints(self._targets())
        return (
            f"Prometheus at {self._server.url} has no series {self._series}: no engine of this kind"
            f" is scraped{told}"
        )

    def _overdue(
        self, late: Sequence[SeriesValue], limit_seconds: float, interval_seconds: float | None
    ) -> str:
        names = ", ".join(sorted({one.labels.get("instance", "?") for one in late}))
        every = f"every {interval_seconds:g} s" if interval_seconds else "at no known interval"
        mine = [one for one in self._targets() if any(one.made(s.labels) for s in late)]
        return (
            f"waited {limit_seconds:g} s for a new scrape of {names}, scraped {every}, and that was"
            f" too short{self._complaints(mine)}"
        )

    def _complaints(self, targets: Sequence[ScrapeTarget]) -> str:
        said = [f"{one.url}: {one.error}" for one in targets if one.error]
        return f"; Prometheus says of its last try: {' | '.join(said[:3])}" if said else ""
