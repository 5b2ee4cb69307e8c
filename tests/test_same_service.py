"""The same service, a slower one, and one of which too little is known are told apart."""

from pathlib import Path

import pytest

from fixtures.altered_rows import decoded_slower, queued
from fixtures.same_service import compared
from hotfire import Level, RunDirectory, Verdict
from hotfire.measure.history import Request
from hotfire.measure.request_times import tpot_seconds, ttft_seconds
from hotfire.profile import Measurement
from hotfire.rundir import BudgetRow, Result
from suites.slo.test_service_after_each_fault_equals_before import not_as_before

SECOND_NS, MS_NS = 1_000_000_000, 1_000_000
MEASUREMENT = Measurement(band_floor_seconds=0.02, band_floor_tpot_seconds=0.001)


def row(number: int) -> Request:
    """Return one of 20 a second: 100 to 119 ms to the first token, 10 ms for each other."""
    sched_ns = number * SECOND_NS // 20
    first_ns = sched_ns + (100 + number % 20) * MS_NS
    return Request(
        seq=number,
        sched_ns=sched_ns,
        send_ns=sched_ns,
        headers_ns=sched_ns + MS_NS,
        first_ns=first_ns,
        first_output_ns=first_ns,
        last_ns=first_ns + 70 * MS_NS,
        end_ns=first_ns + 71 * MS_NS,
        n_out=8,
        status=200,
        finish_reason="length",
        token_source="usage",
        gaps_us=[10_000] * 7,
    )


ROWS = [row(number) for number in range(200)]


def test_altered_rows_are_slower_in_one_way_only() -> None:
    late, slow = queued(ROWS[0], 0.5), decoded_slower(ROWS[0], 3)

    assert ttft_seconds(late) == pytest.approx(0.6)
    assert tpot_seconds(late) == pytest.approx(0.01)
    assert ttft_seconds(slow) == pytest.approx(0.1)
    assert tpot_seconds(slow) == pytest.approx(0.03)


def test_same_rows_are_the_same_service() -> None:
    found = compared(ROWS, ROWS, MEASUREMENT)

    assert [(one.name, one.same, one.worse) for one in found] == [
        ("ttft", True, False),
        ("tpot", True, False),
    ]


def test_a_third_of_slow_answers_is_worse_and_says_of_what() -> None:
    after = [queued(one, 0.5) if one.seq % 3 == 0 else one for one in ROWS]

    found = {one.name: one for one in compared(ROWS, after, MEASUREMENT)}

    assert found["ttft"].worse
    assert found["tpot"].same


def test_less_than_what_counts_as_noise_is_no_difference() -> None:
    after = [queued(one, 0.02) for one in ROWS]

    assert all(one.same for one in compared(ROWS, after, MEASUREMENT))


def test_too_few_requests_are_not_compared() -> None:
    assert compared(ROWS, ROWS[:50], MEASUREMENT) == []


def fault(id_: str, verdict: Verdict, recovery: Verdict, **figures: float | None) -> Result:
    row = BudgetRow(name="recovery_seconds", limit=5.0, verdict=recovery, reason="not as before")
    return Result(
        id=id_,
        level=Level.MUST,
        statement="s",
        rationale="r",
        source="x",
        kind="fault",
        area="pods",
        case="c",
        nodeid="n",
        verdict=verdict,
        reason="r",
        budgets=(row,),
        figures=dict(figures),
    )


def test_each_fault_counts_by_its_own_verdict_on_recovery(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    back = {"ready_endpoints_before": 2.0, "ready_endpoints_back_seconds": 4.0}
    gone = {"ready_endpoints_before": 2.0, "ready_endpoints_back_seconds": None}
    good, bad, unsure = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE
    for result in (
        fault("FLT-A-001", good, good, **back),
        fault("FLT-B-001", bad, bad, **back),
        fault("FLT-C-001", good, good, **gone),
        fault("FLT-D-001", unsure, unsure, **gone),
    ):
        run.append_result(result)

    assert not_as_before(run) == {
        "FLT-B-001": "not as before",
        "FLT-C-001": "never again 2.0 ready endpoints",
    }
