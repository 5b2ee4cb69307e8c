"""How much a figure varies by itself, and how far chance alone may therefore carry it. Pure.

A figure is taken in batches, stretches of a few seconds: requests of one second share their fate
and are no independent evidence, batches nearly are. How the batches of quiet stretches differ is
the target's own noise; a stretch that is to be judged is held against what that noise explains.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy  # its parts, named in full, are imported where they are used
from numpy.typing import NDArray

from hotfire.measure.budgets import binomial_tail

Values = NDArray[np.float64]
_MOST_CORRELATED = 0.6
"""Beyond it a baseline is a drift, which is a problem of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """A figure's mean in the baseline and its spread from batch to batch in quiet stretches."""

    mean: float
    batches: int
    """Of the baseline."""
    spread: float
    """Standard deviation of one batch, pooled over the quiet stretches."""
    freedom: int
    """Degrees of freedom behind the spread."""
    inflation: float
    """Factor on the variance of a mean, since neighbouring batches resemble each other; >= 1."""

    @classmethod
    def of(
        cls,
        baseline: Values,
        quiet: Iterable[Values] = (),
        *,
        average: Callable[[Values], float] = np.mean,
    ) -> Self | None:
        """Return the variation of a baseline's batches; None where there are fewer than three.

        ``quiet`` are the batches of other stretches in which nothing was broken; each has a mean of
        its own, since a machine's speed changes between them. Batches without a value are NaN.
        """
        own = baseline[~np.isnan(baseline)]
        if len(own) < 3:
            return None
        stretches = [own, *(known for one in quiet if len(known := one[~np.isnan(one)]) > 2)]
        squares = math.fsum(float(((one - one.mean()) ** 2).sum()) for one in stretches)
        freedom = sum(len(one) - 1 for one in stretches)
        return cls(
            mean=float(average(own)),
            batches=len(own),
            spread=math.sqrt(squares / freedom),
            freedom=freedom,
            inflation=inflation(stretches),
        )

    def error(self, batches: float) -> float:
        """Return the standard error of (mean of that many other batches - mean of the baseline)."""
        return self.spread * math.sqrt(self.inflation * (1 / batches + 1 / self.batches))

    def chance(self, batches: float, *, false_alarm: float) -> float:
        """Return how far above the baseline chance carries that many batches.

        It goes further with probability ``false_alarm`` only: a prediction limit by Student's t.
        """
        return float(scipy.special.stdtrit(self.freedom, 1 - false_alarm)) * self.error(batches)

    def detectable(self, batches: float, *, false_alarm: float, power: float) -> float:
        """Return the least true rise that goes beyond ``chance`` with probability ``power``."""
        reserve = float(scipy.special.stdtrit(self.freedom, power)) * self.error(batches)
        return self.chance(batches, false_alarm=false_alarm) + reserve


def inflation(stretches: Sequence[Values]) -> float:
    """Return (1 + r) / (1 - r) of the batches' pooled correlation with their next; at least 1.

    By so much the variance of their mean exceeds that of independent ones. Source: the variance of
    the mean of a first-order autoregression. The estimate from n batches is low by about 1 / n,
    which is added back.
    """
    around = [one - one.mean() for one in stretches]
    squares = math.fsum(float(one @ one) for one in around)
    if not squares:
        return 1.0
    pairs = math.fsum(float(one[1:] @ one[:-1]) for one in around)
    low = len(around) / sum(map(len, around))
    r = min(max(pairs / squares + low, 0.0), _MOST_CORRELATED)
    return (1 + r) / (1 - r)


@functools.cache
def least_failures(requests: int, *, sound_ratio: float, false_alarm: float) -> int:
    """Return from how many failures on a service is shown to lose more than ``sound_ratio``.

    By the exact binomial test: a sound service reaches it with at most that probability.
    """
    failures = 1
    while failures <= requests and binomial_tail(failures, requests, sound_ratio) > false_alarm:
        failures += 1
    return failures


def power_of_failures(requests: int, least: int, *, ratio: float) -> float:
    """Return the probability that a service that loses ``ratio`` shows at least that many."""
    return binomial_tail(least, requests, ratio) if least <= requests else 0.0
