"""Users of the version that was not hit are judged apart from those of the one that was."""

from dataclasses import replace

import pytest

from hotfire.experiment import Record, judge
from hotfire.measure.history import FailureClass, Request
from hotfire.verdict import Verdict
from tests.experiment.test_judgement import EFFECT, SECOND, T0, record

CANARY = "canary-5d-x"


def served(*failing: str | None) -> Record:
    """Return a record in which every tenth answer is the canary's and, once hit, these fail."""
    whole = record()
    limits = whole.facts.budgets.model_copy(
        update={"error_ratio": 0.5, "bystander_error_ratio": 0.0}
    )
    facts = whole.facts.model_copy(update={"budgets": limits, "hit": frozenset({"canary"})})
    rows = [replace(one, served_by=CANARY if one.seq % 10 == 0 else None) for one in whole.requests]
    hit = [one for one in rows if one.sched_ns >= T0 + EFFECT * SECOND]
    for by in failing:
        one = next(one for one in hit if one.served_by == by and one.complete)
        rows[one.seq] = refused(one)
        hit.remove(one)
    return replace(whole, facts=facts, requests=rows)


def refused(one: Request) -> Request:
    return Request(
        seq=one.seq,
        sched_ns=one.sched_ns,
        send_ns=one.send_ns,
        end_ns=one.end_ns,
        error_class=FailureClass.HTTP_5XX,
        served_by=one.served_by,
    )


def test_what_the_canary_answers_is_not_its_bystanders_fault() -> None:
    assert judge(served(CANARY, CANARY)).verdict is Verdict.PASSED


@pytest.mark.parametrize("failing", [(None,), (CANARY, None)])
def test_one_request_lost_elsewhere_is_one_too_many(failing: tuple[str | None, ...]) -> None:
    judged = judge(served(*failing))

    assert judged.verdict is Verdict.FAILED
    assert judged.reason.startswith("bystander_error_ratio: measured")


def test_nothing_is_judged_where_no_answer_tells_who_gave_it() -> None:
    told = served(None)
    untold = replace(told, requests=[replace(one, served_by=None) for one in told.requests])

    assert judge(untold).verdict is Verdict.PASSED
