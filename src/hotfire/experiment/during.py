"""Whether users waited longer for a first token while a fault lasted: pure, of the record.

As many answers as came later than the 95th percentile before the fault may come later than a
multiple of it. Both counts are chance, so both have exact bounds.
"""

import math
from collections.abc import Sequence

from hotfire.experiment.facts import Record
from hotfire.measure.budgets import BudgetResult
from hotfire.measure.history import Request
from hotfire.measure.later import PERCENTILE, later_than, share_alone
from hotfire.measure.percentiles import SAMPLE_FLOORS, percentile
from hotfire.measure.request_times import ttft_seconds
from hotfire.measure.search import Looks
from hotfire.verdict import Verdict

_NAME = "ttft_during_ratio"
_UNKNOWN = Verdict.INCONCLUSIVE


def judge_during(record: Record, looks: Looks, limit: float) -> BudgetResult:
    """Return how the times to the first token between injection and clearing compare.

    A failed request has waited for ever. Where what the fault did not touch was slower, too, it may
    have been the machine.
    """
    start_ns, end_ns = record.injected_ns or 0, record.cleared_ns or 0
    rows = [row for row in record.requests if row.sent and not row.censored]
    before = [row for row in rows if row.sched_ns < start_ns and row.phase != "warmup"]
    during = [row for row in rows if start_ns <= row.sched_ns < end_ns]
    usual, needed = _times(before), SAMPLE_FLOORS[PERCENTILE]
    if min(len(usual), len(during)) < needed:
        few = f"{len(usual)} answers before and {len(during)} requests during the fault"
        return _result(limit, None, _UNKNOWN, f"{few}, each needs {needed}")
    p95 = percentile(usual, PERCENTILE)
    bound = max(limit * p95, p95 + record.facts.measurement.band_floor_seconds)
    found = later_than(bound, _times(during), judged=len(during), share=share_alone(usual))
    said = (
        f"{found.later} of {found.judged} first tokens came later than {bound:.3f} s,"
        f" {found.allowed} may"
    )
    measured = percentile(_waited(during), PERCENTILE) / p95
    if not found.beyond:
        return _result(limit, measured, Verdict.PASSED, said)
    moved = looks.controls_moved(start_ns)
    if moved:
        excuse = "what the fault did not touch was slower, too"
        return _result(limit, measured, _UNKNOWN, f"{said}; {excuse}: {'; '.join(moved)}")
    return _result(limit, measured, Verdict.FAILED, said)


def _times(rows: Sequence[Request]) -> list[float]:
    return list(filter(math.isfinite, _waited(rows)))


def _waited(rows: Sequence[Request]) -> list[float]:
    """Return how long each waited for its first token; who failed for ever."""
    found = (ttft_seconds(row) if row.complete else None for row in rows)
    return [math.inf if seconds is None else seconds for seconds in found]


def _result(limit: float, measured: float | None, verdict: Verdict, reason: str) -> BudgetResult:
    said = f"{_NAME}: {reason}, limit {limit:g} times"
    shown = None if measured is None or math.isinf(measured) else measured
    return BudgetResult(name=_NAME, limit=limit, measured=shown, verdict=verdict, reason=said)
