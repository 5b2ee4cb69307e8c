"""Is it the same as before? An equivalence test: the difference is shown to be small. Pure.

A test that finds no difference (p > 0.05) proves nothing: with few requests it never finds one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

import numpy as np
import scipy  # its parts, named in full, are imported where they are used
from numpy.typing import NDArray

from hotfire.measure.columns import Columns
from hotfire.measure.latency import Seconds
from hotfire.measure.percentiles import SAMPLE_FLOORS

SAME_FACTOR: Final = 1.25
"""Largest post / pre ratio of the p95 that still counts as the same."""
_RESAMPLES: Final = 1000
_CONFIDENCE: Final = 0.95
_SEED: Final = 20
_SECOND_NS: Final = 1_000_000_000
_FEWEST_TOGETHER: Final = 5
_AT_ONCE: Final = 2**22
"""Values of all draws together that are weighed at once: those of a long history fill memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """The ratio of a p95 after a fault to the one before it."""

    name: str
    ratio: float
    upper_ratio: float
    """Upper bound of the ratio at 95 % confidence, one-sided."""
    before_seconds: float
    """The p95 before."""
    floor_seconds: float
    """What always counts as noise."""

    @property
    def bound(self) -> float:
        """The upper bound of the ratio where noise is part of both times.

        A few milliseconds more of a very fast service are no difference to anybody.
        """
        return self._with_noise(self.upper_ratio)

    @property
    def likely(self) -> float:
        """The ratio itself where noise is part of both times."""
        return self._with_noise(self.ratio)

    def _with_noise(self, ratio: float) -> float:
        before, floor = self.before_seconds, self.floor_seconds
        return (ratio * before + floor) / (before + floor)

    @property
    def same(self) -> bool:
        """Whether it is shown to be the same as before."""
        return self.bound < SAME_FACTOR

    def __str__(self) -> str:
        return (
            f"p95 {self.name} {self.ratio:.2f} times {1000 * self.before_seconds:.3g} ms, at most"
            f" {self.upper_ratio:.2f} times at {_CONFIDENCE:.0%} confidence, {self.bound:.2f} with"
            f" {1000 * self.floor_seconds:g} ms of noise"
        )


def equivalence(
    name: str, before: Columns, after: Columns, *, floor_seconds: float = 0.0
) -> Equivalence | None:
    """Return how a latency compares; None where a p95 has too few requests, or was no time.

    Whole seconds are resampled, since requests of the same second share their fate and are no
    independent evidence. The same rows always give the same bound.
    """
    samples = [_Sample.of(getattr(rows, name), rows.sched_ns) for rows in (before, after)]
    if any(len(sample.values) < SAMPLE_FLOORS[95] for sample in samples):
        return None
    chance = np.random.default_rng(_SEED)
    was, is_ = (sample.resampled_p95(chance) for sample in samples)
    if not (np.isfinite(was).all() and (was > 0).all()):
        return None
    ones = [np.ones((1, sample.blocks), np.int64) for sample in samples]
    seconds = [float(each.p95s(one)[0]) for each, one in zip(samples, ones, strict=True)]
    upper = np.quantile(is_ / was, _CONFIDENCE, method="inverted_cdf")
    return Equivalence(
        name=name,
        ratio=seconds[1] / seconds[0],
        upper_ratio=float(upper),
        before_seconds=seconds[0],
        floor_seconds=floor_seconds,
    )


def together(ratios: Sequence[float]) -> tuple[float, float] | None:
    """Return the mean of several such ratios and its upper bound; None of fewer than five.

    Each counts alike. How far they lie apart tells what chance does to one of them, and whatever
    else differs between them: it is the t interval of their logarithms at 95 %, one-sided.
    """
    if len(ratios) < _FEWEST_TOGETHER:
        return None
    logs = [math.log(one) for one in ratios]
    middle, times = fmean(logs), scipy.special.stdtrit(len(logs) - 1, _CONFIDENCE)
    return math.exp(middle), math.exp(middle + times * stdev(logs) / math.sqrt(len(logs)))


@dataclass(frozen=True, slots=True)
class _Sample:
    """Values in order, each with the number of its second."""

    values: Seconds
    block: NDArray[np.int64]
    blocks: int

    @classmethod
    def of(cls, values: Seconds, sched_ns: NDArray[np.int64]) -> "_Sample":
        known = ~np.isnan(values)
        seconds, block = np.unique(sched_ns[known] // _SECOND_NS, return_inverse=True)
        order = np.argsort(values[known], kind="stable")
        return cls(values[known][order], block[order], len(seconds))

    def resampled_p95(self, chance: np.random.Generator) -> Seconds:
        even = np.full(self.blocks, 1 / self.blocks)
        return self.p95s(chance.multinomial(self.blocks, even, size=_RESAMPLES))

    def p95s(self, draws: NDArray[np.int64]) -> Seconds:
        """Return one p95 per row of draws: how often each second was drawn."""
        pieces = math.ceil(len(draws) * len(self.values) / _AT_ONCE)
        return np.concatenate([self._p95s(piece) for piece in np.array_split(draws, pieces)])

    def _p95s(self, draws: NDArray[np.int64]) -> Seconds:
        upper = len(self.values) * 4 // 5
        below, above = (draws @ self._sizes(part) for part in (slice(upper), slice(upper, None)))
        limits = 0.95 * (below + above) - 1e-9
        # It lies among the highest fifth of the values, unless few of them were drawn.
        if (below >= limits).any():
            upper, below = 0, np.zeros_like(below)
        weights = below[:, None] + np.cumsum(draws[:, self.block[upper:]], axis=1)
        found: Seconds = self.values[upper + np.count_nonzero(weights < limits[:, None], axis=1)]
        return found

    def _sizes(self, part: slice) -> NDArray[np.int64]:
        """Return how many of a part of the values are of each second."""
        return np.bincount(self.block[part], minlength=self.blocks)
