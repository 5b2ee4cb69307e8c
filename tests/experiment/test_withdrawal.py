"""A gate is judged by when the route's weights took the users from a bad canary."""

from dataclasses import replace

import pytest

from hotfire.experiment import Record, judge
from hotfire.experiment.withdrawal import judge_withdrawal
from hotfire.verdict import Verdict
from tests.experiment.test_judgement import HEALED, INJECTED, event, record

UNDONE = HEALED - 1.0
LIMIT = 10.0


def moved(*shares: tuple[float, float], undone: float = UNDONE) -> Record:
    """Return a record in which the canary had a twentieth, and then so much at so many seconds."""
    told = [event("canary-share", at, share=share) for at, share in ((1.0, 0.05), *shares)]
    whole = record()
    return replace(whole, events=[*told, *whole.events, event("healed", undone)])


@pytest.mark.parametrize(
    ("after", "verdict"), [(4.0, Verdict.PASSED), (10.0, Verdict.PASSED), (11.0, Verdict.FAILED)]
)
def test_it_is_the_time_until_nobody_is_sent_there(after: float, verdict: Verdict) -> None:
    found = judge_withdrawal(moved((INJECTED + 2, 0.25), (INJECTED + after, 0.0)), LIMIT)

    assert (found.verdict, found.measured) == (verdict, after)


def test_a_canary_that_kept_its_users_fails(record_of: Record) -> None:
    found = judge_withdrawal(record_of, LIMIT)

    assert found.verdict is Verdict.FAILED
    assert "still got 100%" in found.reason


@pytest.fixture
def record_of() -> Record:
    return moved((INJECTED + 3, 1.0))


def test_what_the_undo_brought_about_is_not_the_gates_doing() -> None:
    assert judge_withdrawal(moved((UNDONE + 1, 0.0)), LIMIT).verdict is Verdict.FAILED


def test_one_that_was_undone_before_its_time_was_over_is_not_known() -> None:
    early = moved(undone=INJECTED + 5)

    assert judge_withdrawal(early, LIMIT).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("whole", [record(), moved((INJECTED + 3, 0.0), undone=INJECTED + 99)])
def test_weights_that_nobody_read_before_the_fault_are_not_known(whole: Record) -> None:
    unread = replace(whole, events=[one for one in whole.events if one.at_ns > 0][-3:])

    assert judge_withdrawal(unread, LIMIT).verdict is Verdict.INCONCLUSIVE


def test_it_counts_among_the_budgets(record_of: Record) -> None:
    limits = record_of.facts.budgets.model_copy(update={"withdrawal_seconds": LIMIT})
    facts = record_of.facts.model_copy(update={"budgets": limits})
    judged = judge(replace(record_of, facts=facts))

    assert judged.verdict is Verdict.FAILED
    assert "withdrawal_seconds" in judged.reason
    assert judge(record_of).verdict is Verdict.PASSED
