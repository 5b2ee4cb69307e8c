"""Judging random counts: exact binomial tests with a declared chance of a false alarm. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # its parts, named in full, are imported where they are used

ALPHA = 1e-4
"""Chance that a correct platform is called wrong; a nightly run meets it once in thirty years."""
_SAMPLE_SIZES = ((5, 3000), (10, 1500), (25, 3000), (50, 1000))
_MOST_EFFICIENT = 3000


@dataclass(frozen=True, slots=True)
class AcceptedCounts:
    """The counts that agree with a share, both ends included."""

    low: int
    high: int

    def __contains__(self, count: int) -> bool:
        return self.low <= count <= self.high

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


def accepted_counts(n: int, share: float, *, alpha: float = ALPHA) -> AcceptedCounts:
    """Return the counts among ``n`` that a two-sided exact binomial test accepts.

    Each tail holds at most alpha/2. A share of 0 accepts only 0, a share of 1 only n.

    Raises:
        ValueError: n is not positive, or the share lies outside 0-1.
    """
    if n <= 0 or not 0 <= share <= 1:
        raise ValueError(f"need n > 0 and a share within 0-1, not {n} and {share}")
    low = int(scipy.stats.binom.ppf(alpha / 2, n, share))
    high = int(scipy.stats.binom.ppf(1 - alpha / 2, n, share))
    return AcceptedCounts(low, high)


def power(n: int, share: float, real: float, *, alpha: float = ALPHA) -> float:
    """Return the chance that the test notices a real share other than the promised one."""
    accepted = accepted_counts(n, share, alpha=alpha)
    binom = scipy.stats.binom
    missed = binom.cdf(accepted.high, n, real) - binom.cdf(accepted.low - 1, n, real)
    return float(1 - missed)


def upper_bound(count: int, n: int, *, confidence: float = 0.95) -> float:
    """Return the largest share that so few of ``n`` still agree with (Clopper and Pearson).

    Raises:
        ValueError: n is not positive, or the count lies outside 0-n.
    """
    if not 0 <= count <= n or n == 0:
        raise ValueError(f"need a count within 0-n and n > 0, not {count} and {n}")
    return 1.0 if count == n else float(scipy.stats.beta.ppf(confidence, count + 1, n - count))


def accepted_sums(
    sizes: Mapping[int, int], chosen: int, *, alpha: float = ALPHA, seed: int = 0
) -> AcceptedCounts:
    """Return the sums that a random choice of so many among items of these sizes accepts.

    ``sizes`` tells how many items there are of each size. It is a permutation test: who was chosen
    is drawn anew, a million times, and each tail holds at most alpha/2.

    Raises:
        ValueError: fewer items than are chosen.
    """
    counts = list(sizes.values())
    if not 0 <= chosen <= sum(counts):
        raise ValueError(f"cannot choose {chosen} of {sum(counts)}")
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(counts, chosen, size=10**6)
    low, high = np.quantile(drawn @ np.array(list(sizes)), (alpha / 2, 1 - alpha / 2))
    return AcceptedCounts(int(low), int(high))


def sample_size(percent: int) -> int:
    """Return how many requests decide a weight in percent; the rarer side decides."""
    rarer = min(percent, 100 - percent)
    fitting = [n for weight, n in _SAMPLE_SIZES if rarer >= weight]
    return fitting[-1] if fitting else _MOST_EFFICIENT
