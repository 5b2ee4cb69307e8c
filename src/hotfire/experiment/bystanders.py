"""Whether users whom the fault did not hit were spared: a pure function of the record."""

from collections.abc import Sequence
from dataclasses import replace

from hotfire.experiment.facts import Record
from hotfire.measure.budgets import BudgetResult, judge_budgets
from hotfire.measure.history import Request
from hotfire.profile import Budgets

_NAME = "bystander_error_ratio"


def judge_bystanders(
    record: Record, touched: Sequence[Request], limit: float
) -> list[BudgetResult]:
    """Return the one result for those requests that what was hit did not answer.

    It is empty where no answer tells that it comes from what was hit: nobody knows then who asked
    whom, and the budget of all requests has to do. A request that failed without a word of who
    answered is a bystander's.
    """
    if not any(_of_the_hit(record, one) for one in record.requests):
        return []
    others = [one for one in touched if not _of_the_hit(record, one)]
    (found,) = judge_budgets(others, Budgets(error_ratio=limit))
    return [replace(found, name=_NAME, reason=found.reason.replace("error_ratio", _NAME, 1))]


def _of_the_hit(record: Record, one: Request) -> bool:
    """Return whether an answer names what was hit, as itself or as one of its pods."""
    by = one.served_by or ""
    return any(by == name or by.startswith(f"{name}-") for name in record.facts.hit)
