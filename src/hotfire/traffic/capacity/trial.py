"""One trial of a rate: what it has to be to count, and how sure its verdict is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import scipy  # its parts, named in full, are imported where they are used

from hotfire.measure.budgets import BudgetResult
from hotfire.measure.budgets import judged as judged_budgets
from hotfire.measure.history import Request
from hotfire.measure.percentiles import SAMPLE_FLOORS
from hotfire.measure.request_times import LATENCIES
from hotfire.measure.slo import Account
from hotfire.profile import Budgets
from hotfire.verdict import Verdict, merge

LEAST_SECONDS = 30.0
FLOORS_PER_TRIAL = 3
"""Sample floors in a trial: at the floor itself five slow requests decide a p95."""
PERCENTILES = {f"{name}_p{q}_seconds": (name, q) for name in LATENCIES for q in SAMPLE_FLOORS}
"""Each latency budget: which latency it limits and at which percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTrial:
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


def judged(rate_per_second: float, rows: Iterable[Request], budgets: Budgets) -> RateTrial:
    """Return the trial of these rows, those of the warmup not counted."""
    steady = Account.of(row for row in rows if row.phase != "warmup")
    results = judged_budgets(steady, budgets)
    verdict = merge(result.verdict for result in results)
    decisive = [result for result in results if result.verdict is verdict]
    sure = [confidence(steady, result) for result in decisive]
    # All budgets have to hold: the least sure counts. One broken is enough: the surest counts.
    held = verdict is Verdict.PASSED
    return RateTrial(
        rate_per_second=rate_per_second,
        requests=steady.scheduled,
        results=tuple(results),
        verdict=verdict,
        confidence=(min if held else max)(sure, default=0.0),
        reason="; ".join(result.reason for result in decisive) or "no budget is set",
    )


def confidence(account: Account, result: BudgetResult) -> float:
    """Return how sure a budget's verdict is, 0-1."""
    counted = exceeding(account, result)
    if counted is None or result.verdict is Verdict.INCONCLUSIVE:
        return 0.0
    count, known, allowed = counted
    if not allowed:
        return 1.0  # A budget of nothing is a count; chance has no part in it.
    if result.verdict is Verdict.PASSED:
        return 1 - float(scipy.special.bdtr(count, known, allowed))
    return float(scipy.special.bdtr(count - 1, known, allowed))


def exceeding(account: Account, result: BudgetResult) -> tuple[int, int, float] | None:
    """Return how many requests exceeded a budget, of how many, and the share it allows."""
    failed = account.failed
    if result.name == "error_ratio":
        return failed, failed + account.complete, result.limit
    if result.name in PERCENTILES:
        name, q = PERCENTILES[result.name]
        values = account.served(name)
        slow = int((values > result.limit).sum())
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
