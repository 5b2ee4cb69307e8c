"""What was measured against what users were promised: one verdict a budget. Pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import scipy  # its parts, named in full, are imported where they are used

from hotfire.measure.history import Request
from hotfire.measure.latency import Seconds, known
from hotfire.measure.percentiles import SAMPLE_FLOORS, percentile
from hotfire.measure.request_times import LATENCIES
from hotfire.measure.slo import Account, ratio
from hotfire.measure.streamed import Streamed
from hotfire.profile import Budgets
from hotfire.verdict import Verdict

CONFIDENCE = 0.95
"""Of the exact test that lets few requests exceed a ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """One budget against what was measured."""

    name: str
    limit: float
    measured: float | None
    verdict: Verdict
    reason: str


def judge_budgets(requests: Iterable[Request], budgets: Budgets) -> list[BudgetResult]:
    """Return ``judged`` of some requests."""
    return judged(Account.of(requests), budgets)


def judged(account: Account, budgets: Budgets) -> list[BudgetResult]:
    """Return one result for each budget that is set, except ``recovery_seconds``.

    Latency percentiles count failed requests as infinitely slow. Censored requests might have
    ended either way, and so may those whose latency nobody told: a budget passes only if it would
    with all of them lost, and fails only if it would with all of them instantly served. Where
    tokens came together, TPOT and stalls are inconclusive, unless what was seen breaks the budget
    by itself. Recovery is judged in ``recovery``.
    """
    results = []
    if budgets.error_ratio is not None:
        results.append(_judge_error_ratio(account, budgets.error_ratio))
    for name in LATENCIES:
        for q in SAMPLE_FLOORS:
            limit = getattr(budgets, f"{name}_p{q}_seconds")
            if limit is not None:
                one = _judge_percentile(account.latency(name), name, q, limit)
                results.append(_observed(one, account) if name == "tpot" else one)
    if budgets.lost_streams is not None:
        results.append(_judge_lost_streams(account, budgets.lost_streams))
    if budgets.longest_stall_seconds is not None:
        results.append(_judge_stall(account, budgets.longest_stall_seconds))
    return results


def _observed(one: BudgetResult, account: Account) -> BudgetResult:
    """Return the result, or inconclusive if it speaks of times between tokens nobody saw."""
    if one.verdict is Verdict.FAILED or account.streamed in (Streamed.YES, None):
        return one
    judged = sum(account.streams.values()) - account.streams[None]
    reason = (
        f"{one.name}: not observable: of {account.unobserved} of {judged} streams tokens came"
        " together, as from a buffer, so nobody saw the time between them"
    )
    return replace(one, measured=None, verdict=Verdict.INCONCLUSIVE, reason=reason)


def _judge_percentile(values: Seconds, name: str, q: int, limit: float) -> BudgetResult:
    told, full = known(values), f"{name}_p{q}_seconds"
    measured = percentile(told.tolist(), q)
    if len(told) < SAMPLE_FLOORS[q]:
        unknown = len(values) - len(told)
        more = f"; of {unknown} more it is unknown" if unknown else ""
        reason = f"{full}: {len(told)} requests, a p{q} needs {SAMPLE_FLOORS[q]}{more}"
        return _result(full, limit, measured, Verdict.INCONCLUSIVE, reason)
    best, worst = (
        percentile(np.where(np.isnan(values), unknown, values).tolist(), q)
        for unknown in (0.0, math.inf)
    )
    return _bounded(full, limit, measured, best=best, worst=worst)


def _bounded(
    name: str, limit: float, measured: float, *, best: float, worst: float
) -> BudgetResult:
    """Judge a figure of which only bounds are known, as with censored requests."""
    seen = f"{name}: measured {measured:.4g}, limit {limit:g}"
    if best > limit:
        return _result(name, limit, measured, Verdict.FAILED, f"{seen}: exceeded")
    if worst <= limit:
        return _result(name, limit, measured, Verdict.PASSED, f"{seen}: kept")
    reason = f"{seen}: requests cut off by the end, or that told too little, decide it"
    return _result(name, limit, measured, Verdict.INCONCLUSIVE, reason)


def _result(
    name: str, limit: float, measured: float, verdict: Verdict, reason: str
) -> BudgetResult:
    shown = None if math.isnan(measured) else measured
    return BudgetResult(name=name, limit=limit, measured=shown, verdict=verdict, reason=reason)


def _judge_error_ratio(account: Account, limit: float) -> BudgetResult:
    """Judge failed / scheduled.

    With fewer than 1 / limit requests a single failure exceeds the limit; then only an excess that
    the exact binomial test confirms (at 95 %) fails, and nothing passes.
    """
    failed, censored = account.failed, account.censored
    total = account.scheduled - account.not_sent
    ended = total - censored
    measured = ratio(failed, ended)
    floor = math.ceil(1 / limit) if limit else 1
    if ended < floor:
        certain = ended > 0 and binomial_tail(failed, ended, limit) <= 1 - CONFIDENCE
        verdict = Verdict.FAILED if certain else Verdict.INCONCLUSIVE
        reason = f"error_ratio: {failed} of {ended} failed, limit {limit:g} needs {floor} requests"
        return _result("error_ratio", limit, measured, verdict, reason)
    best, worst = ratio(failed, total), ratio(failed + censored, total)
    return _bounded("error_ratio", limit, measured, best=best, worst=worst)


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Return the chance of at least that many successes, at most all, in independent trials."""
    return float(scipy.special.bdtrc(successes - 1, trials, probability))


def _judge_lost_streams(account: Account, limit: int) -> BudgetResult:
    lost = account.lost_streams
    if not account.scheduled:
        return _nothing("lost_streams", limit)
    worst = lost + account.open_streams
    return _bounded("lost_streams", limit, lost, best=lost, worst=worst)


def _judge_stall(account: Account, limit: float) -> BudgetResult:
    longest = account.longest_stall_seconds
    if longest is None:
        return _nothing("longest_stall_seconds", limit)
    worst = longest if account.stalls_are_known else math.inf
    result = _bounded("longest_stall_seconds", limit, longest, best=longest, worst=worst)
    # Where tokens came together a pause may hide, but none longer than the whole answer.
    return result if account.longest_unseen_seconds <= limit else _observed(result, account)


def _nothing(name: str, limit: float) -> BudgetResult:
    return _result(name, limit, math.nan, Verdict.INCONCLUSIVE, f"{name}: nothing was measured")
