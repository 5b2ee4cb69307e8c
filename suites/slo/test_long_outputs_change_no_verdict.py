"""TTFT and TPOT each hold their budget whatever the mix of output lengths.

A few long answers among many short ones are what users send, and no percentile over all of them
shows when it is the long ones that are slow. Answers of either length are judged by themselves: as
many may exceed a budget as its percentile allows, by an exact binomial test that calls one in ten
thousand sound platforms wrong. Of twelve long answers it notices six.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import pytest

from fixtures.altered_rows import decoded_slower, queued
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.measure.counts import accepted_counts
from hotfire.measure.history import Request
from hotfire.measure.percentiles import SAMPLE_FLOORS
from hotfire.measure.request_times import LATENCIES, e2e_seconds, figure
from hotfire.traffic.runner.launch import RunningLoad

pytestmark = requirement(
    "SLO-002",
    Level.MUST,
    __doc__,
    source="https://docs.mlcommons.org/inference_policies/#scenarios",
)

LONG_SHARE, TIMES_AS_LONG = 0.05, 10
LONG_ANSWERS = 12
GROWTH = 2.0
"""Of the median end-to-end latency, or the long answers were not long."""
JUDGED = ("ttft", "tpot")
SHORT, LONG = "short", "long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """How many answers of one length exceeded one budget."""

    answers: str
    budget: str
    limit_seconds: float
    judged: int
    beyond: int
    allowed: int
    """The most that agree with the budget's percentile."""

    @property
    def broken(self) -> bool:
        return self.beyond > self.allowed

    def __str__(self) -> str:
        return (
            f"{self.beyond} of {self.judged} {self.answers} answers took longer than"
            f" {self.budget} allows, {self.limit_seconds:g} s; by chance at most {self.allowed} do"
        )


def promised(profile: TargetProfile) -> dict[str, tuple[str, int, float]]:
    """Return the latency, the percentile and the limit of each budget of TTFT and TPOT.

    Raises:
        HarnessError: TTFT or TPOT has none.
    """
    found: dict[str, tuple[str, int, float]] = {}
    for name in JUDGED:
        limits = {q: getattr(profile.budgets, f"{name}_p{q}_seconds") for q in SAMPLE_FLOORS}
        if not any(limits.values()):
            raise HarnessError(f"no budget of {name} is set; set budgets.{name}_p95_seconds")
        found |= {f"{name}_p{q}_seconds": (name, q, x) for q, x in limits.items() if x is not None}
    return found


def judge(answers: str, rows: Sequence[Request], profile: TargetProfile) -> list[Exceeded]:
    """Return how the answers of one length stand to each budget; a failed one exceeds it.

    Raises:
        HarnessError: none of them has such a latency.
    """
    results = []
    for budget, (name, q, limit) in promised(profile).items():
        measured = [figure(row, LATENCIES[name]) for row in rows if row.complete]
        # None has no such latency; NaN is one that nobody saw.
        seen = [value for value in measured if value is not None and not math.isnan(value)]
        failed = sum(row.failed for row in rows)
        if not seen and not failed:
            raise HarnessError(f"of no {answers} answer a {name} was seen; were they streamed?")
        judged = len(seen) + failed
        results.append(
            Exceeded(
                answers=answers,
                budget=budget,
                limit_seconds=limit,
                judged=judged,
                beyond=sum(value > limit for value in seen) + failed,
                allowed=accepted_counts(judged, 1 - q / 100).high,
            )
        )
    return results


@pytest.fixture
def mixed(
    profile: TargetProfile, load: Callable[..., RunningLoad], evidence: Evidence
) -> dict[str, list[Request]]:
    """The rated load, of which every twentieth answer is ten times as long, by their length."""
    rated = profile.load
    rates = {
        SHORT: rated.rate_per_second * (1 - LONG_SHARE),
        LONG: rated.rate_per_second * LONG_SHARE,
    }
    tokens = {SHORT: rated.max_tokens, LONG: rated.max_tokens * TIMES_AS_LONG}
    seconds = LONG_ANSWERS / rates[LONG]
    # The short ones come before the first long one and until the last of them has ended.
    running = {
        name: load(
            name=f"SLO-002-{name}",
            process="constant",
            rate_per_second=rates[name],
            max_tokens=tokens[name],
            **({"duration_seconds": seconds} if name == LONG else {}),
        )
        for name in (SHORT, LONG)
    }
    running[LONG].wait_finished(seconds + rated.deadline_seconds + 60).check()
    running[SHORT].stop().check()
    rows = {name: one.rows() for name, one in running.items()}
    evidence.record("requests", {name: len(some) for name, some in rows.items()})
    evidence.record("tokens_asked_for", tokens)
    return rows


def require_longer(rows: Mapping[str, Sequence[Request]]) -> dict[str, float]:
    """Return the median end-to-end latencies.

    Raises:
        HarnessError: answers that were asked to be long were not.
    """
    times = {name: [e2e_seconds(one) for one in some] for name, some in rows.items()}
    known = {name: [one for one in some if one is not None] for name, some in times.items()}
    if not all(known.values()):
        raise HarnessError(
            f"no answer came of {min(known, key=lambda name: len(known[name]))} ones"
        )
    medians = {name: median(some) for name, some in known.items()}
    if medians[LONG] < GROWTH * medians[SHORT]:
        raise HarnessError(f"answers asked to be long took hardly longer than others: {medians}")
    return medians


def test_budgets_hold_for_answers_of_either_length(
    profile: TargetProfile, mixed: dict[str, list[Request]], evidence: Evidence
) -> None:
    results = [one for name, rows in mixed.items() for one in judge(name, rows, profile)]
    evidence.record("budgets", [asdict(one) for one in results])
    evidence.record("median_e2e_seconds", require_longer(mixed))

    broken = [str(one) for one in results if one.broken]
    assert not broken, "; ".join(broken)
    check_control(profile, mixed)


def check_control(profile: TargetProfile, rows: Mapping[str, Sequence[Request]]) -> None:
    """Negative control: queueing breaks the budgets of TTFT only, slow decoding those of TPOT."""
    limits = [limit for _, _, limit in promised(profile).values()]
    quickest = min(
        value for row in rows[LONG] if (value := figure(row, LATENCIES["tpot"])) is not None
    )
    altered = {
        "ttft": [queued(row, max(limits)) for row in rows[LONG]],
        "tpot": [decoded_slower(row, 2 * max(limits) / quickest) for row in rows[LONG]],
    }
    for name, some in altered.items():
        broken = {one.budget.partition("_")[0] for one in judge(LONG, some, profile) if one.broken}
        if broken != {name}:
            raise HarnessError(f"of rows with a slower {name} the budgets of {broken} break")
