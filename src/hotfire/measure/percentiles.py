"""Percentiles without interpolation, and which samples are too small for one. Pure."""

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

SAMPLE_FLOORS: Final = {95: 100, 99: 1000}
"""Fewest requests from which a percentile is believed."""


def percentile(values: Iterable[float], q: float) -> float:
    """Return the smallest value that at least q percent of all values do not exceed.

    Exact, without interpolation, so that infinities are allowed; NaN for no values. q is 0-100.
    """
    ordered = sorted(values)
    return ordered[place(q, len(ordered))] if ordered else math.nan


def place(q: float, count: int) -> int:
    """Return where a percentile stands among that many values in order, from 0."""
    return max(math.ceil(Fraction(str(q)) * count / 100), 1) - 1
