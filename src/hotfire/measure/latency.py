"""Many values of one latency, and their percentiles. Pure."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hotfire.measure.percentiles import SAMPLE_FLOORS, place

Seconds = NDArray[np.float64]


def known(values: Seconds) -> Seconds:
    """Return the values without those that nobody told."""
    return values[~np.isnan(values)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of one figure, in seconds; NaN where there are no values."""

    count: int
    requests: int
    """Independent requests behind the values: chunk gaps are many, but share their requests."""
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float

    @classmethod
    def of(
        cls, values: Sequence[float] | NDArray[np.float64], *, requests: int | None = None
    ) -> "Latency":
        """Return the percentiles of some values, each of a request of its own by default."""
        ordered = np.sort(np.asarray(values, np.float64))
        p50, p95, p99 = (
            float(ordered[place(q, len(ordered))]) if len(ordered) else math.nan
            for q in (50, 95, 99)
        )
        return cls(
            count=len(ordered),
            requests=len(ordered) if requests is None else requests,
            p50_seconds=p50,
            p95_seconds=p95,
            p99_seconds=p99,
        )

    @classmethod
    def of_gaps(cls, gaps_us: "array[int]", *, requests: int) -> "Latency":
        """Return the percentiles of many pauses in microseconds, whose order is changed.

        There may be ten million of them, so they are neither copied nor sorted as a whole.
        """
        seen, count = np.frombuffer(gaps_us, np.int32), len(gaps_us)
        places = [place(q, count) for q in (50, 95, 99)] if count else []
        if count:
            seen.partition(places)
        p50, p95, p99 = [float(seen[at]) * 1e-6 for at in places] or [math.nan] * 3
        return cls(
            count=count, requests=requests, p50_seconds=p50, p95_seconds=p95, p99_seconds=p99
        )

    def percentiles(self) -> dict[int, float | None]:
        """Return p50, p95 and p99 in seconds; None below the sample floor, NaN of no values."""
        return {
            50: self.p50_seconds,
            95: self.p95_seconds if self.requests >= SAMPLE_FLOORS[95] else None,
            99: self.p99_seconds if self.requests >= SAMPLE_FLOORS[99] else None,
        }
