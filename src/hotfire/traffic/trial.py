"""One trial of a rate: what it has to be to count, and how sure its verdict is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import bdtr

from hotfire.history import Request
from hotfire.percentiles import SAMPLE_FLOORS
from hotfire.profile import Budgets
from hotfire.slo import LATENCIES, BudgetResult, judge_budgets
from hotfire.verdict import Verdict, merge

LEAST_SECONDS = 30.0
FLOORS_PER_TRIAL = 3
"""Sample floors in a trial: at the floor itself five slow requests decide a p95."""
PERCENTILES = {
    f"{name}_p{q}_seconds": (measure, q)
    for name, measure in LATENCIES.items()
    for q in SAMPLE_FLOORS
}
"""Each latency budget: what it measures and at which percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One rate, tried for a while."""

    rate_per_second: float
    requests: int
    results: tuple[BudgetResult, ...]
    verdict: Verdict
    confidence: float
    """That the verdict is not chance: one less the exact binomial probability of such a count of
    slow or failed requests where the budget were just kept. It takes requests as independent."""
    reason: str

    @property
    def held(self) -> bool:
        """Whether every budget was kept."""
        return self.verdict is Verdict.PASSED


def judged(rate_per_second: float, rows: Sequence[Request], budgets: Budgets) -> Trial:
    """Return the trial of these rows, those of the warmup not counted."""
    steady = [row for row in rows if row.phase != "warmup"]
    results = judge_budgets(steady, budgets)
    verdict = merge(result.verdict for result in results)
    decisive = [result for result in results if result.verdict is verdict]
    sure = [confidence(steady, result) for result in decisive]
    # All budgets have to hold: the least sure counts. One broken is enough: the surest counts.
    held = verdict is Verdict.PASSED
    return Trial(
        rate_per_second=rate_per_second,
        requests=len(steady),
        results=tuple(results),
        verdict=verdict,
        confidence=(min if held else max)(sure, default=0.0),
        reason="; ".join(result.reason for result in decisive) or "no budget is set",
    )


def confidence(rows: Sequence[Request], result: BudgetResult) -> float:
    """Return how sure a budget's verdict is, 0-1."""
    counted = exceeding(rows, result)
    if counted is None or result.verdict is Verdict.INCONCLUSIVE:
        return 0.0
    count, known, allowed = counted
    if not allowed:
        return 1.0  # A budget of nothing is a count; chance has no part in it.
    if result.verdict is Verdict.PASSED:
        return 1 - float(bdtr(count, known, allowed))
    return float(bdtr(count - 1, known, allowed))


def exceeding(rows: Sequence[Request], result: BudgetResult) -> tuple[int, int, float] | None:
    """Return how many requests exceeded a budget, of how many, and the share it allows."""
    failed = sum(row.failed for row in rows)
    done = [row for row in rows if row.complete]
    if result.name == "error_ratio":
        return failed, failed + len(done), result.limit
    if result.name in PERCENTILES:
        measure, q = PERCENTILES[result.name]
        values = [value for row in done if (value := measure(row)) is not None]
        slow = sum(value > result.limit for value in values)
        return slow + failed, len(values) + failed, 1 - q / 100
    return None


def trial_seconds(budgets: Budgets, rate_per_second: float, *, precision_ratio: float) -> float:
    """Return how long a trial has to last.

    Long enough for its percentiles; and at a rate too high by the precision a queue grows by that
    part of the time, which must exceed the TTFT budget before the trial ends.
    """
    floors = [SAMPLE_FLOORS[q] for name, (_, q) in PERCENTILES.items() if limit(budgets, name)]
    needed = max(floors, default=min(SAMPLE_FLOORS.values()))
    if budgets.error_ratio:
        needed = max(needed, math.ceil(1 / budgets.error_ratio))
    ttfts = [limit(budgets, f"ttft_p{q}_seconds") or 0.0 for q in SAMPLE_FLOORS]
    queue_seconds = max(ttfts) / precision_ratio
    return max(LEAST_SECONDS, FLOORS_PER_TRIAL * needed / rate_per_second, queue_seconds)


def limit(budgets: Budgets, name: str) -> float | None:
    """Return the limit of a budget by its name; None if there is none."""
    found: float | None = getattr(budgets, name)
    return found


def limits_of_rate(budgets: Budgets) -> list[str]:
    """Return the names of the budgets that a rate can break."""
    return [name for name in ("error_ratio", *PERCENTILES) if limit(budgets, name) is not None]
