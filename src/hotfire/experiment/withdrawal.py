"""Whether a promotion gate took the users back from a bad canary: a pure function of the record."""

from hotfire.experiment.facts import Record
from hotfire.measure.budgets import BudgetResult
from hotfire.verdict import Verdict

_NAME = "withdrawal_seconds"


def judge_withdrawal(record: Record, limit_seconds: float) -> BudgetResult:
    """Return how long after its roll-out the canary got no request, by the route's weights.

    What came after the undo was asked for is no gate's doing.
    """
    shares = [(one.at_ns, float(str(one.data["share"]))) for one in record.happened("canary-share")]
    start_ns, undone_ns = record.injected_ns or 0, record.event_ns("healed")
    if not shares or shares[0][0] >= start_ns or undone_ns is None:
        return _result(limit_seconds, None, Verdict.INCONCLUSIVE, "nobody read the weights")
    gone = [at_ns for at_ns, share in shares if start_ns <= at_ns < undone_ns and not share]
    if not gone:
        last = [share for at_ns, share in shares if at_ns < undone_ns][-1]
        looked = (undone_ns - start_ns) / 1e9
        short = looked < limit_seconds
        why = f"after {looked:.0f} s the canary still got {last:.0%} of the requests"
        verdict = Verdict.INCONCLUSIVE if short else Verdict.FAILED
        return _result(limit_seconds, None, verdict, why)
    took = (gone[0] - start_ns) / 1e9
    why = f"the canary got no request any more after {took:.1f} s"
    kept = Verdict.PASSED if took <= limit_seconds else Verdict.FAILED
    return _result(limit_seconds, took, kept, why)


def _result(limit: float, measured: float | None, verdict: Verdict, reason: str) -> BudgetResult:
    said = f"{_NAME}: {reason}, limit {limit:g} s"
    return BudgetResult(name=_NAME, limit=limit, measured=measured, verdict=verdict, reason=said)
