"""What a new version's trial comes to: the promotion gate's decision, a pure function.

Nothing but Python 3.11 is needed: it runs in the pod of the gate.
"""

import dataclasses
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum

STEPS = (5, 25, 50)
"""Percent of the requests in each step of a trial; a version that has stood them all gets 100."""
MARGIN = 1.1
"""Times that are so much longer than the stable version's are still as good."""
# Three counts and two times are compared in each of three steps, and known answers once: a sound
# version is taken back in less than one trial of twenty.
ALPHA_COUNTS, ALPHA_TIMES, ALPHA_ANSWERS = 0.004, 0.002, 0.001
OTHERWISE = "known questions answered otherwise"
ASKED, STABLE_TIMES = 450, 3
"""Answers of the canary in each step, two of three structured ones, the third timed; so many times
more of the stable version, so that four invalid ones of the canary are no accident any more."""


class Decision(Enum):
    """What becomes of a version on trial."""

    ON = "on"
    BACK = "back"
    WAIT = "wait"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of one version since its trial began."""

    asked: int = 0
    errors: int = 0
    bound: int = 0  # answers that were to keep to a schema
    invalid: int = 0
    known: int = 0  # questions whose answer is known from the version before
    other: int = 0
    ttft_seconds: tuple[float, ...] = ()
    tpot_seconds: tuple[float, ...] = ()
    ended: int | None = None  # requests of anybody, by its metrics pages; None: they do not tell
    aborted: int = 0

    def __add__(self, other: "Seen") -> "Seen":
        """Return both together; what one of them does not know of its pages nobody knows."""
        parts = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in dataclasses.fields(self)
            if field.name != "ended"
        }
        known = None not in (self.ended, other.ended)
        return Seen(**parts, ended=(self.ended or 0) + (other.ended or 0) if known else None)


def decide(stable: Seen, canary: Seen, *, step: int) -> tuple[Decision, str]:
    """Return what the trial comes to in its step (from 1), and why.

    It is decided once in each step, when as much was asked as was declared: whoever looks again
    and again finds an accident in the end.
    """
    if lacking := "; ".join(unasked(stable, canary, step=step)):
        return Decision.WAIT, lacking
    if worse := "; ".join(worsened(stable, canary)):
        return Decision.BACK, worse
    if lacking := "; ".join(missing(stable, canary, step=step)):
        return Decision.WAIT, lacking
    return Decision.ON, f"nothing is worse in {canary.asked} answers"


def unasked(stable: Seen, canary: Seen, *, step: int) -> Iterator[str]:
    """Yield who was not asked often enough."""
    for name, seen, times in (("stable", stable, STABLE_TIMES), ("canary", canary, 1)):
        if seen.asked < step * ASKED * times:
            yield f"the {name} version was asked {seen.asked} times"


def missing(stable: Seen, canary: Seen, *, step: int) -> Iterator[str]:
    """Yield what is not known of a version: no ground to give it more users."""
    for name, seen in (("stable", stable), ("canary", canary)):
        if not seen.ended:
            yield f"the metrics pages of the {name} version do not tell of its requests"
        if len(seen.tpot_seconds) < step * ASKED / 6:
            yield f"only {len(seen.tpot_seconds)} answers of the {name} version could be timed"


def worsened(stable: Seen, canary: Seen) -> Iterator[str]:
    """Yield in words what is worse than in the stable version, and no accident."""
    counts = {
        "errors": ((canary.errors, canary.asked), (stable.errors, stable.asked)),
        "invalid": ((canary.invalid, canary.bound), (stable.invalid, stable.bound)),
        "aborted": ((canary.aborted, canary.ended or 0), (stable.aborted, stable.ended or 0)),
        OTHERWISE: ((canary.other, canary.known), (stable.other, stable.known)),
    }
    for name, (new, old) in counts.items():
        if more_often(new, old) < (ALPHA_ANSWERS if name == OTHERWISE else ALPHA_COUNTS):
            yield f"{name}: {new[0]} of {new[1]}, stable {old[0]} of {old[1]}"
    times = {
        "TTFT": (canary.ttft_seconds, stable.ttft_seconds),
        "TPOT": (canary.tpot_seconds, stable.tpot_seconds),
    }
    for name, (slow, fast) in times.items():
        if longer(slow, [MARGIN * one for one in fast]) < ALPHA_TIMES:
            middle = f"{1e3 * statistics.median(slow):.1f} ms"
            yield f"{name}: {middle}, stable {1e3 * statistics.median(fast):.1f} ms"


def more_often(new: tuple[int, int], old: tuple[int, int]) -> float:
    """Return the chance that so many of the cases fall to the new version if both are alike.

    Each is a count of cases and of tries. It is the exact binomial test of two rates: given how
    many cases there were, their share is that of the tries.
    """
    (hits, tries), (others, tried) = new, old
    if not hits or not tries:
        return 1.0
    share, whole = tries / (tries + tried), hits + others
    return sum(_binomial(k, whole, share) for k in range(hits, whole + 1))


def _binomial(hits: int, whole: int, share: float) -> float:
    """Return the chance of so many hits; by logarithms, since the coefficients grow too large."""
    if share == 1:
        return float(hits == whole)
    ways = math.lgamma(whole + 1) - math.lgamma(hits + 1) - math.lgamma(whole - hits + 1)
    return math.exp(ways + hits * math.log(share) + (whole - hits) * math.log1p(-share))


def longer(new: Sequence[float], old: Sequence[float]) -> float:
    """Return the chance that the new times rank so high among all if both are alike.

    It is the rank-sum test in its normal form, with equal times sharing their ranks: no time so
    long that it counts more than its rank, whatever their distribution.
    """
    if min(len(new), len(old)) < 2:
        return 1.0
    size, ranked, ties, below = len(new) + len(old), 0.0, 0.0, 0
    told = Counter(new)
    for value, run in itertools.groupby(sorted([*new, *old])):
        length = len(list(run))
        ranked += told[value] * (below + (length + 1) / 2)
        ties += length**3 - length
        below += length
    spread = len(new) * len(old) / 12 * (size + 1 - ties / (size * (size - 1)))
    if not spread:
        return 1.0
    return 1 - statistics.NormalDist(len(new) * (size + 1) / 2, math.sqrt(spread)).cdf(ranked)
