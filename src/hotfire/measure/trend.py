"""Does it get worse with time? The rise of a series over a run, with bounds. Pure.

That no rise was found proves nothing; it is the upper bound that has to be small. Theil's slope
heeds single outliers little, and its bounds need no shape of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import scipy  # its parts, named in full, are imported where they are used

from hotfire.measure.columns import Columns
from hotfire.measure.latency import Seconds, known
from hotfire.verdict import Verdict

FEWEST: Final = 12
"""Samples below which a bound is as wide as anything."""
_CONFIDENCE: Final = 0.95
_BEYOND: Final = 10.0
_SECOND_NS: Final = 1_000_000_000
Samples = Sequence[tuple[float, float]]
"""Moments (seconds) and values, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What a series rises by from the first to the last sample, as a share of where it began."""

    level: float
    """Where it began, in the unit of the series."""
    rise: float
    lower: float
    """Lower bound of the rise at 95 % confidence, one-sided."""
    upper: float
    """Upper bound, likewise."""

    def judge(self, at_most: float) -> Verdict:
        """Return whether it rises by less than a share, is shown to rise by more, or neither."""
        if self.upper < at_most:
            return Verdict.PASSED
        return Verdict.FAILED if self.lower >= at_most else Verdict.INCONCLUSIVE

    def __str__(self) -> str:
        return f"{self.rise:+.1%} ({self.lower:+.1%} to {self.upper:+.1%}) from {self.level:.4g}"


def trend(samples: Samples) -> Trend | None:
    """Return how a series goes; None for too few finite samples, or where it began at nothing.

    A value without end counts as an outlier beyond all others: few of them move no median.
    """
    if not samples:
        return None
    at, values = np.array(samples, dtype=np.float64).T
    finite = np.isfinite(values)
    if finite.sum() < FEWEST:
        return None
    values = np.where(finite, values, _BEYOND * values[finite].max())
    slope, intercept, low, high = scipy.stats.theilslopes(values, at, alpha=2 * _CONFIDENCE - 1)
    level = float(intercept + slope * at[0])
    if level <= 0:
        return None
    seconds = at[-1] - at[0]
    rise, lower, upper = (float(one * seconds / level) for one in (slope, low, high))
    return Trend(level=level, rise=rise, lower=lower, upper=upper)


def drifting(samples: Samples, *, per_minute: float) -> list[tuple[float, float]]:
    """Return a series with a drift: each value is this share larger for every minute."""
    first = samples[0][0] if samples else 0.0
    return [(at, value * (1 + per_minute * (at - first) / 60)) for at, value in samples]


def p95_over_time(rows: Columns, latency: Seconds, *, windows: int) -> list[tuple[float, float]]:
    """Return the p95 of a latency in windows of equal length, each at its middle; empty ones none.

    A request that never completed is infinitely late.
    """
    if not len(rows):
        return []
    at = (rows.sched_ns - rows.sched_ns[0]) / _SECOND_NS
    edges = np.linspace(0, at[-1], windows + 1)
    cuts = [*np.searchsorted(at, edges[:-1]), len(rows)]
    middles = (edges[1:] + edges[:-1]) / 2
    told = [known(latency[first:last]) for first, last in pairwise(cuts)]
    return [
        (float(middle), float(np.quantile(values, 0.95, method="inverted_cdf")))
        for middle, values in zip(middles, told, strict=True)
        if len(values)
    ]
