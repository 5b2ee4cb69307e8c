"""Sameness after a fault is shown, refuted or left open, by that fault's own record."""

import pytest

from fixtures.altered_rows import queued
from fixtures.same_service import SameService
from hotfire.experiment import Judgement, judge, same_service
from hotfire.measure.history import Request
from hotfire.profile import Measurement
from hotfire.rundir import Event, Result
from hotfire.verdict import Verdict
from suites.slo.test_service_after_each_fault_equals_before import pytestmark as of_the_check
from tests.experiment.test_judgement import (
    HEALED,
    SECOND,
    T0,
    event,
    journal,
    outputs,
    record,
    rows,
)
from tests.sample_run import result

FAULT = "FLT-POD-001"
FLOOR = 1000 * Measurement().band_floor_seconds


def told(judgement: Judgement) -> tuple[Verdict, str]:
    figures = judgement.figures
    return Verdict(str(figures["same_service"])), str(figures["same_service_because"])


def ready(*counts: tuple[float, int]) -> list[Event]:
    """Return the events of the record, and how many endpoints were ready when."""
    series = [event("ready-endpoints", second, ready=count) for second, count in counts]
    return [*record().events, *series]


def slower(seconds: float) -> list[Request]:
    """Return rows of which those after the fault waited so much longer."""
    after = T0 + HEALED * SECOND
    return [queued(row, seconds) if row.sched_ns >= after else row for row in rows()]


def test_same_times_are_the_same_service() -> None:
    verdict, reason = told(judge(record()))

    assert verdict is Verdict.PASSED
    assert "p95 ttft 1.00 times 100 ms, at most 1.00 times at 95% confidence" in reason


def test_users_who_are_never_served_as_before_are_not_served_the_same() -> None:
    verdict, reason = told(judge(record(requests=slower(2.0))))

    assert verdict is Verdict.FAILED
    assert "not as before" in reason


def test_what_recovery_forgives_as_noise_is_not_shown_to_be_the_same() -> None:
    found = judge(record(requests=slower(0.045)))

    assert found.verdict is Verdict.PASSED
    verdict, reason = told(found)
    assert verdict is Verdict.INCONCLUSIVE
    assert "p95 ttft 1.45 times 100 ms" in reason


def test_less_than_a_quarter_with_what_counts_as_noise_is_the_same() -> None:
    assert told(judge(record(requests=slower(0.035))))[0] is Verdict.PASSED


def test_history_that_ends_too_early_shows_nothing() -> None:
    verdict, reason = told(judge(record(requests=rows(until=130))))

    assert verdict is Verdict.INCONCLUSIVE
    assert "the history ends 55 s after clearing" in reason


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ([(1, 2), (62, 1), (70, 2)], Verdict.PASSED),
        ([(1, 2), (62, 1)], Verdict.FAILED),
        ([(1, 2), (62, 1), (70, 2), (90, 1)], Verdict.INCONCLUSIVE),
        ([(1, 2)], Verdict.PASSED),
    ],
)
def test_endpoint_that_is_gone_for_good_is_missed(
    counts: list[tuple[float, int]], verdict: Verdict
) -> None:
    assert told(judge(record(events=ready(*counts))))[0] is verdict


def test_what_the_target_did_not_put_right_is_not_the_same() -> None:
    broken = record(journal=journal(run=outputs(effect=True, healed=False)))

    assert told(judge(broken))[0] is Verdict.FAILED


def test_record_that_proves_no_fault_proves_no_sameness() -> None:
    unfit = record(instrument_trouble="the load was not fit to measure: lag")

    assert told(judge(unfit)) == (Verdict.INCONCLUSIVE, "the load was not fit to measure: lag")


def fault(verdict: Verdict, **figures: float) -> Result:
    known = {"same_service": str(verdict), "same_service_because": f"it is {verdict}"}
    return result(FAULT, verdict).model_copy(update={"figures": known | figures})


def test_each_fault_that_was_fired_has_a_row() -> None:
    results = [fault(Verdict.PASSED, same_service_ratio=1.1)]

    first, second = same_service.rows_of(results, [FAULT, "FLT-POD-002"])

    assert (first.name, first.measured, first.verdict) == (FAULT, 1.1, Verdict.PASSED)
    assert second.verdict is Verdict.INCONCLUSIVE
    told = "after FLT-POD-002: it was fired and not judged"
    assert same_service.concluded([first, second]) == (Verdict.INCONCLUSIVE, told)


def left_open(*ratios: float, tpot: float | None = 1.0) -> list[Result]:
    """Return faults that have recovered, and too few requests to show that all is as before."""
    figures = {"same_service_left_open_by_chance": True, "same_service_ratio": 1.4}
    if tpot is not None:
        figures["same_service_tpot_ratio"] = tpot
    return [
        fault(Verdict.INCONCLUSIVE, **figures, same_service_ttft_ratio=ratio).model_copy(
            update={"id": f"FLT-POD-{number:03}"}
        )
        for number, ratio in enumerate(ratios, 1)
    ]


AROUND_ONE = (0.9, 1.2, 1.0, 0.95, 1.1)


def concluded(results: list[Result]) -> tuple[Verdict, str]:
    return same_service.concluded(same_service.rows_of(results, [one.id for one in results]))


def test_what_no_fault_shows_alone_all_may_show_together() -> None:
    results = left_open(*AROUND_ONE)
    rows = same_service.rows_of(results, [one.id for one in results])

    assert {row.verdict for row in rows} == {Verdict.PASSED}
    assert len(rows) == len(results) + 2
    assert "shown with the others: alone it is inconclusive" in rows[0].reason
    assert concluded(results)[0] is Verdict.PASSED


@pytest.mark.parametrize(
    "results",
    [
        pytest.param(left_open(*AROUND_ONE[1:]), id="too-few"),
        pytest.param(left_open(*(1.3 * one for one in AROUND_ONE)), id="longer"),
        pytest.param(left_open(0.5, 2.0, 0.6, 1.7, 1.0), id="too-far-apart"),
        pytest.param([*left_open(*AROUND_ONE, tpot=None), *left_open(1.0)], id="tpot-of-one"),
        pytest.param([*left_open(*AROUND_ONE), fault(Verdict.INCONCLUSIVE)], id="one-not-judged"),
    ],
)
def test_what_they_do_not_show_together_stays_open(results: list[Result]) -> None:
    assert concluded(results)[0] is Verdict.INCONCLUSIVE


def test_one_that_failed_is_not_made_good_by_the_others() -> None:
    others = left_open(*AROUND_ONE)
    failed = fault(Verdict.FAILED).model_copy(update={"id": "FLT-POD-009"})

    assert concluded([*others, failed]) == (Verdict.FAILED, "after FLT-POD-009: it is failed")


def test_chance_is_told_from_what_speaks_against_it() -> None:
    by_chance = [judge(record(requests=slower(each))).figures for each in (0.045, 2.0)]

    assert [one["same_service_left_open_by_chance"] for one in by_chance] == [True, False]
    assert by_chance[0]["same_service_ttft_ratio"] == pytest.approx(
        (145 + FLOOR) / (100 + FLOOR), abs=0.01
    )


def of_all(verdict: Verdict, *rows: Verdict) -> Result:
    """Return the requirement's result, with the rows that it was judged by."""
    budgets = tuple(same_service.row(FAULT, one, "then", ratio=None) for one in rows)
    return result("SLO-006", verdict).model_copy(update={"budgets": budgets})


@pytest.mark.parametrize(
    ("former", "now", "then"),
    [
        (of_all(Verdict.PASSED, Verdict.PASSED), Verdict.FAILED, Verdict.FAILED),
        (of_all(Verdict.FAILED, Verdict.FAILED), Verdict.PASSED, Verdict.PASSED),
        (of_all(Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE), Verdict.PASSED, Verdict.PASSED),
        # Something beyond the faults left it open.
        (of_all(Verdict.INCONCLUSIVE, Verdict.PASSED), Verdict.PASSED, Verdict.INCONCLUSIVE),
        (of_all(Verdict.INCONCLUSIVE), Verdict.PASSED, Verdict.INCONCLUSIVE),
        (of_all(Verdict.INCONCLUSIVE), Verdict.FAILED, Verdict.FAILED),
    ],
)
def test_requirement_follows_the_faults_when_they_are_judged_again(
    former: Result, now: Verdict, then: Verdict
) -> None:
    found = same_service.judged_again(former, [fault(now)], [FAULT])

    assert found.verdict is then
    assert [row.verdict for row in found.budgets] == [now]


def test_requirement_is_that_of_the_check() -> None:
    assert of_the_check.args[0].id == same_service.REQUIREMENT


def test_requirement_stands_where_no_fault_was_fired() -> None:
    own = of_all(Verdict.PASSED, Verdict.PASSED)

    assert same_service.judged_again(own, [own], []) == own


def test_same_requests_had_they_waited_are_not_the_same_service() -> None:
    whole = SameService(rows=[], record=record())

    assert whole.had_requests_waited()[0] is Verdict.FAILED
