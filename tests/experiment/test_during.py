"""Users who wait longer while a fault lasts are counted, and chance speaks for the target."""

from dataclasses import replace

import pytest

from hotfire.experiment import Record, judge
from hotfire.measure.comparison import MachinePressure
from hotfire.measure.history import FailureClass, Request
from hotfire.verdict import Verdict
from tests.experiment.test_judgement import HEALED, INJECTED, SECOND, T0, event, record, rows

# A hundred requests, five a second, so that a percentile is believed.
UNTIL = INJECTED + 30
LIMIT = 1.25


def waited(row: Request, seconds: float) -> Request:
    """Return a request that was given everything so much later."""
    later = round(seconds * SECOND)
    moved = {
        name: getattr(row, name) + later for name in ("headers_ns", "first_ns", "last_ns", "end_ns")
    }
    return replace(row, **moved)


def lasting(share: float, seconds: float = 0.5, *, until: float = UNTIL) -> Record:
    """Return a record in which so many of those amid the fault waited so much longer."""
    whole = record()
    facts = whole.facts.model_copy(
        update={"budgets": whole.facts.budgets.model_copy(update={"ttft_during_ratio": LIMIT})}
    )
    all_rows, every = rows(until=300), round(1 / share) if share else 0
    for row in all_rows:
        amid = T0 + INJECTED * SECOND <= row.sched_ns < T0 + until * SECOND
        if amid and every and row.seq % every == 0:
            all_rows[row.seq] = waited(row, seconds)
    events = [one for one in whole.events if one.what != "verified-healed"]
    events.append(event("verified-healed", until))
    return replace(whole, facts=facts, requests=all_rows, events=events)


@pytest.mark.parametrize("found", [lasting(0), lasting(0.03), lasting(1, 0.02)])
def test_as_long_as_before_or_nearly_so_passes(found: Record) -> None:
    judged = judge(found)

    assert judged.verdict is Verdict.PASSED
    assert "ttft_during_ratio" in {one.name for one in judged.budgets}


def test_longer_than_that_fails() -> None:
    judged = judge(lasting(0.5))

    assert judged.verdict is Verdict.FAILED
    assert "75 of 150 first tokens came later than 0.150 s" in judged.reason
    [found] = [one for one in judged.budgets if one.name == "ttft_during_ratio"]
    assert found.measured == pytest.approx(6)


def test_who_fails_has_waited_for_ever() -> None:
    found = lasting(0)
    refused = [
        replace(one, error_class=FailureClass.HTTP_429) if amid(one) else one
        for one in found.requests
    ]

    [judged] = [
        one
        for one in judge(replace(found, requests=refused)).budgets
        if one.name == "ttft_during_ratio"
    ]

    assert (judged.verdict, judged.measured) == (Verdict.FAILED, None)


def amid(one: Request) -> bool:
    return T0 + INJECTED * SECOND <= one.sched_ns < T0 + UNTIL * SECOND


def test_too_few_requests_tell_nothing() -> None:
    judged = judge(lasting(0.5, until=HEALED))

    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "each needs 100" in judged.reason


def test_a_machine_that_was_slower_too_is_an_excuse() -> None:
    found = lasting(0.5)
    pressed = [
        (T0 + second * SECOND, 0.9 if INJECTED <= second < 2 * INJECTED else 0.01 + second % 2 / 99)
        for second in range(2 * INJECTED)
    ]
    assert MachinePressure.of(pressed, injected_ns=T0 + INJECTED * SECOND, false_alarm=0.01)

    judged = judge(replace(found, pressure=pressed))

    assert judged.verdict is Verdict.INCONCLUSIVE
    assert "what the fault did not touch was slower, too" in judged.reason
