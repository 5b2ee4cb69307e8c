"""Whether service after a fault equals service before it, out of that fault's own record. Pure.

It is shown, never assumed: what chance leaves open is inconclusive. One requirement is about every
fault of a run; its verdict is theirs together, and changes with them when they are judged again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from hotfire.experiment.facts import Figures, Record
from hotfire.measure.equivalence import SAME_FACTOR
from hotfire.measure.recovery import Recovery
from hotfire.rundir import BudgetRow, Result
from hotfire.verdict import Verdict, merge

REQUIREMENT: Final = "SLO-006"
_VERDICT, _REASON, _RATIO = "same_service", "same_service_because", "same_service_ratio"


def judge_same(record: Record, recovery: Recovery) -> tuple[Verdict, str]:
    """Return whether users, and replicas, are shown to be as before, and why.

    Failed only where recovery itself is shown to have failed, or where what was ready before is
    gone: a ratio that is not shown to be small is not thereby shown to be large.
    """
    if missing := _missing_endpoints(record):
        return missing
    if recovery.recovered_from_clearing_seconds is None:
        return recovery.judge(record.facts.budgets.recovery_seconds or 0.0)
    if "ttft" not in {one.name for one in recovery.same}:
        return Verdict.INCONCLUSIVE, "too few requests for a p95 before it, or after it"
    told = "; ".join(map(str, recovery.same))
    if all(one.same for one in recovery.same):
        return Verdict.PASSED, told
    return Verdict.INCONCLUSIVE, f"not shown to be below {SAME_FACTOR:g}: {told}"


def _missing_endpoints(record: Record) -> tuple[Verdict, str] | None:
    earlier, after = record.ready_endpoints()
    if not (earlier and after) or after[-1][1] >= earlier[-1][1]:
        return None
    before, last = earlier[-1][1], after[-1][1]
    was_back = any(ready >= before for _, ready in after)
    verdict = Verdict.INCONCLUSIVE if was_back else Verdict.FAILED
    told = "all were back meanwhile" if was_back else "it was never back"
    return verdict, f"{last} of {before} endpoints were ready in the end, and {told}"


def figures(verdict: Verdict, reason: str, recovery: Recovery) -> Figures:
    """Return how a fault's figures tell it."""
    return {_VERDICT: str(verdict), _REASON: reason, _RATIO: largest(recovery)}


def largest(recovery: Recovery) -> float | None:
    """Return the largest bound of a ratio; None: nothing was compared."""
    return max((one.bound for one in recovery.same), default=None)


def rows_of(results: Iterable[Result], fired: Iterable[str]) -> list[BudgetRow]:
    """Return a row for every fault that was fired, by the name of its record."""
    told = {one.record: one.figures for one in results if one.kind == "fault"}
    return [_of_figures(name, told.get(name, {})) for name in fired]


def _of_figures(name: str, known: Mapping[str, object]) -> BudgetRow:
    verdict = Verdict(str(known.get(_VERDICT, Verdict.INCONCLUSIVE)))
    reason = str(known.get(_REASON, "it was fired and not judged"))
    ratio = known.get(_RATIO)
    return row(name, verdict, reason, ratio=ratio if isinstance(ratio, int | float) else None)


def row(name: str, verdict: Verdict, reason: str, *, ratio: float | None) -> BudgetRow:
    """Return what is said of one fault."""
    return BudgetRow(name=name, limit=SAME_FACTOR, measured=ratio, verdict=verdict, reason=reason)


def concluded(rows: Iterable[BudgetRow]) -> tuple[Verdict, str]:
    """Return the verdict of all of them, and why."""
    known = list(rows)
    worst = merge(one.verdict for one in known)
    reasons = [f"after {one.name}: {one.reason}" for one in known if one.verdict is worst]
    return worst, "; ".join(reasons) or "nothing was broken"


def judged_again(result: Result, results: Iterable[Result], fired: Iterable[str]) -> Result:
    """Return the requirement's result as the faults of a run, judged anew, have it.

    It stands where no fault was fired, and where something beyond them left it undecided.
    """
    rows = rows_of(results, fired)
    if result.id != REQUIREMENT or result.skipped_by_operator or not rows:
        return result
    verdict, reason = concluded(rows)
    unknown = Verdict.INCONCLUSIVE
    beyond = result.verdict is unknown and unknown not in {one.verdict for one in result.budgets}
    if beyond and verdict is not Verdict.FAILED:
        verdict, reason = result.verdict, result.reason
    changes = {"verdict": verdict, "reason": reason, "budgets": tuple(rows)}
    return result.model_copy(update=changes)
