"""Whether service after a fault equals service before it, out of that fault's own record. Pure.

It is shown, never assumed: what chance leaves open is inconclusive. One requirement is about every
fault of a run; its verdict is theirs together, and changes with them when they are judged again.

The requests of one hold can seldom show by themselves that a p95 is less than a quarter longer.
What is asked of each fault alone is that its recovery is shown, by a test that finds what is worth
finding at the declared power; the quarter may be shown by all of them together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hotfire.experiment.facts import Figures, Record
from hotfire.measure.equivalence import SAME_FACTOR, together
from hotfire.measure.recovery import Recovery
from hotfire.rundir import BudgetRow, Result
from hotfire.verdict import Verdict, merge

REQUIREMENT: Final = "SLO-006"
_VERDICT, _REASON, _RATIO = "same_service", "same_service_because", "same_service_ratio"
_BY_CHANCE, _LIKELY = "same_service_left_open_by_chance", "same_service_{}_ratio"
_COMPARED: Final = ("ttft", "tpot")


@dataclass(frozen=True, slots=True)
class Said:
    """Whether service after one fault equals service before it, and why."""

    verdict: Verdict
    reason: str
    by_chance: bool = False
    """Whether nothing speaks against it but that its requests are too few to show it alone."""


@dataclass(frozen=True, slots=True)
class AfterFault:
    """What a fault's figures tell of the service after it."""

    row: BudgetRow
    by_chance: bool = False
    ratios: Mapping[str, float] = field(default_factory=dict)
    """How many times longer each p95 was, noise being part of both."""


def judge_same(record: Record, recovery: Recovery) -> Said:
    """Return whether users, and replicas, are shown to be as before, and why.

    Failed only where recovery itself is shown to have failed, or where what was ready before is
    gone: a ratio that is not shown to be small is not thereby shown to be large.
    """
    if missing := _missing_endpoints(record):
        return missing
    if recovery.recovered_from_clearing_seconds is None:
        return Said(*recovery.judge(record.facts.budgets.recovery_seconds or 0.0))
    if "ttft" not in {one.name for one in recovery.same}:
        return Said(Verdict.INCONCLUSIVE, "too few requests for a p95 before it, or after it")
    told = "; ".join(map(str, recovery.same))
    if all(one.same for one in recovery.same):
        return Said(Verdict.PASSED, told)
    why = f"not shown to be below {SAME_FACTOR:g}: {told}"
    return Said(Verdict.INCONCLUSIVE, why, by_chance=True)


def _missing_endpoints(record: Record) -> Said | None:
    earlier, after = record.ready_endpoints()
    if not (earlier and after) or after[-1][1] >= earlier[-1][1]:
        return None
    before, last = earlier[-1][1], after[-1][1]
    was_back = any(ready >= before for _, ready in after)
    verdict = Verdict.INCONCLUSIVE if was_back else Verdict.FAILED
    told = "all were back meanwhile" if was_back else "it was never back"
    return Said(verdict, f"{last} of {before} endpoints were ready in the end, and {told}")


def figures(said: Said, recovery: Recovery) -> Figures:
    """Return how a fault's figures tell it."""
    likely = {_LIKELY.format(one.name): round(one.likely, 4) for one in recovery.same}
    return {
        _VERDICT: str(said.verdict),
        _REASON: said.reason,
        _RATIO: largest(recovery),
        _BY_CHANCE: said.by_chance,
        **likely,
    }


def largest(recovery: Recovery) -> float | None:
    """Return the largest bound of a ratio; None: nothing was compared."""
    return max((one.bound for one in recovery.same), default=None)


def rows_of(results: Iterable[Result], fired: Iterable[str]) -> list[BudgetRow]:
    """Return a row for every fault that was fired, by the name of its record, and of them all."""
    told = {one.record: one.figures for one in results if one.kind == "fault"}
    return all_together([_of_figures(name, told.get(name, {})) for name in fired])


def _of_figures(name: str, known: Mapping[str, object]) -> AfterFault:
    verdict = Verdict(str(known.get(_VERDICT, Verdict.INCONCLUSIVE)))
    reason = str(known.get(_REASON, "it was fired and not judged"))
    ratios = {each: _number(known.get(_LIKELY.format(each))) for each in _COMPARED}
    return AfterFault(
        row(name, verdict, reason, ratio=_number(known.get(_RATIO))),
        by_chance=known.get(_BY_CHANCE) is True,
        ratios={each: ratio for each, ratio in ratios.items() if ratio},
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def all_together(found: Sequence[AfterFault]) -> list[BudgetRow]:
    """Return the rows of all faults; what chance alone left open may be shown by them together.

    Nothing else is: a fault that failed, or that nobody could judge, stays what it is.
    """
    rows, shared = [one.row for one in found], dict(_shared(found))
    left_open = {name for one in found if one.by_chance for name in one.ratios}
    if not left_open:
        return rows
    if left_open <= {name for name, row in shared.items() if row.verdict is Verdict.PASSED}:
        rows = [_shown_with_the_others(one) if one.by_chance else one.row for one in found]
    return [*rows, *shared.values()]


def _shared(found: Sequence[AfterFault]) -> Iterator[tuple[str, BudgetRow]]:
    """Yield by its name each latency that enough faults compare, and their row."""
    for name in _COMPARED:
        ratios = [one.ratios[name] for one in found if name in one.ratios]
        if bounds := together(ratios):
            mean, upper = bounds
            verdict = Verdict.PASSED if upper < SAME_FACTOR else Verdict.INCONCLUSIVE
            why = f"p95 {name} {mean:.2f} times, at most {upper:.2f} times at 95% confidence"
            yield name, row(f"all {len(ratios)} faults, {name}", verdict, why, ratio=upper)


def _shown_with_the_others(one: AfterFault) -> BudgetRow:
    why = f"recovered, and shown with the others: alone {one.row.reason}"
    return one.row.model_copy(update={"verdict": Verdict.PASSED, "reason": why})


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
