"""Figures agree with numpy's; budgets fail, pass and stay open for the right reasons."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.errors import HistoryError
from hotfire.measure import budgets as judging
from hotfire.measure import slo
from hotfire.measure.history import FailureClass, Request
from hotfire.measure.percentiles import percentile
from hotfire.measure.request_times import (
    e2e_seconds,
    longest_stall_seconds,
    tpot_seconds,
    ttft_seconds,
)
from hotfire.measure.streamed import TOGETHER_US
from hotfire.profile import Budgets
from hotfire.verdict import Verdict

T0 = 10**18
S = 10**9


def served(seq: int, *, ttft: float = 0.1, tpot: float = 0.01, n_out: int = 11) -> Request:
    sched = T0 + seq * S // 10
    first = sched + round(ttft * S)
    last = first + round(tpot * (n_out - 1) * S)
    return Request(
        seq=seq,
        sched_ns=sched,
        send_ns=sched + 10**6,
        headers_ns=sched + 2 * 10**6,
        first_ns=first,
        first_output_ns=first,
        last_ns=last,
        end_ns=last + 10**6,
        n_out=n_out,
        gaps_us=(round(tpot * 1e6),) * (n_out - 1),
    )


def failing(seq: int, error: FailureClass = FailureClass.CONNECT) -> Request:
    return Request(seq=seq, sched_ns=T0 + seq * S // 10, error_class=error)


def censored(seq: int) -> Request:
    return Request(seq=seq, sched_ns=T0 + seq * S // 10, censored=True)


@given(
    st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=300),
    st.sampled_from([50, 90, 95, 99, 100]),
)
def test_percentile_agrees_with_numpy(values: list[float], q: int) -> None:
    assert percentile(values, q) == np.percentile(values, q, method="inverted_cdf")


@given(st.lists(st.floats(min_value=0), min_size=1, max_size=200), st.integers(1, 100))
def test_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], q: int
) -> None:
    seen = percentile(values, q)

    assert 100 * sum(v <= seen for v in values) >= q * len(values)
    assert 100 * sum(v < seen for v in values) < q * len(values)


def test_percentile_of_nothing_is_nan() -> None:
    assert math.isnan(percentile([], 95))


def exact_tail(successes: int, trials: int, share: Fraction) -> float:
    """Return the chance of at least that many successes, in integers to the last division."""
    good, all_ = share.as_integer_ratio()
    below = sum(
        math.comb(trials, k) * good**k * (all_ - good) ** (trials - k) for k in range(successes)
    )
    return float((all_**trials - below) / all_**trials)


@given(st.integers(0, 30), st.integers(1, 30), st.fractions(0, 1, max_denominator=1000))
def test_binomial_tail_is_exact(k: int, n: int, share: Fraction) -> None:
    k = min(k, n)

    assert judging.binomial_tail(k, n, float(share)) == pytest.approx(
        exact_tail(k, n, share), abs=1e-12
    )


@pytest.mark.parametrize("k", [0, 1, 3, 20])
@pytest.mark.parametrize(("n", "share"), [(1030, Fraction(1, 3)), (1500, Fraction(1, 2000)),
                                          (5000, Fraction(1, 5001))])  # fmt: skip
def test_binomial_tail_of_a_long_run_is_exact(k: int, n: int, share: Fraction) -> None:
    expected = exact_tail(k, n, share)

    assert judging.binomial_tail(k, n, float(share)) == pytest.approx(expected, rel=1e-9)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Request, list[int]]:
    """A complete request and its true token times, nanoseconds after its scheduled arrival."""
    # Shorter ones are no pauses between tokens: those came together.
    gaps = draw(st.lists(st.integers(TOGETHER_US + 1, 10**6), min_size=1, max_size=40))
    sent = draw(st.integers(0, 10**6)) * 1000
    times = list(np.cumsum([sent + 1000, *(gap * 1000 for gap in gaps)]))
    stamps = [T0 + int(at) for at in times]
    return Request(
        seq=draw(st.integers(0, 10**6)), sched_ns=T0, send_ns=T0 + sent, first_ns=stamps[0],
        last_ns=stamps[-1], end_ns=stamps[-1], n_out=len(stamps), gaps_us=tuple(gaps),
    ), [int(at) for at in times]  # fmt: skip


@given(streams())
def test_every_latency_is_a_difference_of_true_times(made: tuple[Request, list[int]]) -> None:
    request, times = made
    sent = (request.send_ns or 0) - T0

    assert ttft_seconds(request) == pytest.approx(times[0] / 1e9)
    assert ttft_seconds(request, since="sent") == pytest.approx((times[0] - sent) / 1e9)
    assert tpot_seconds(request) == pytest.approx(np.diff(times).mean() / 1e9)
    assert longest_stall_seconds(request) == pytest.approx(np.diff(times).max() / 1e9)
    assert e2e_seconds(request) == pytest.approx(times[-1] / 1e9)


@given(st.lists(streams(), min_size=1, max_size=8))
def test_chunk_gaps_are_pooled_over_requests(made: list[tuple[Request, list[int]]]) -> None:
    gaps = np.concatenate([np.diff(times) / 1e9 for _, times in made])

    seen = slo.summarise([request for request, _ in made]).chunk_gap

    assert seen.count == len(gaps)
    assert seen.p95_seconds == pytest.approx(np.percentile(gaps, 95, method="inverted_cdf"))


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_goodput_is_a_rate_over_every_scheduled_request(good: list[bool]) -> None:
    rows = [served(i) if fine else failing(i) for i, fine in enumerate(good)]

    summary = slo.summarise(rows)

    assert summary.goodput_ratio == pytest.approx(np.mean(good))
    assert summary.goodput_per_second == pytest.approx(10 * np.mean(good))


def test_measures_of_one_request() -> None:
    request = served(0, ttft=0.2, tpot=0.02, n_out=11)

    assert ttft_seconds(request) == pytest.approx(0.2)
    assert ttft_seconds(request, since="sent") == pytest.approx(0.199)
    assert tpot_seconds(request) == pytest.approx(0.02)
    assert e2e_seconds(request) == pytest.approx(0.4)
    assert longest_stall_seconds(request) == pytest.approx(0.02)


def test_tpot_needs_the_targets_own_count() -> None:
    request = Request(seq=0, sched_ns=T0, first_ns=T0 + 1, last_ns=T0 + 5, gaps_us=(1, 2, 3))

    assert tpot_seconds(request) is None


def test_tpot_survives_several_tokens_in_the_first_chunk() -> None:
    request = Request(
        seq=0,
        sched_ns=T0,
        first_ns=T0,
        last_ns=T0 + 4 * S,
        n_first=3,
        n_out=7,
        gaps_us=(4_000_000,),
    )

    assert tpot_seconds(request) == pytest.approx(1.0)


def test_the_silence_before_a_stream_is_given_up_is_a_stall() -> None:
    request = Request(
        seq=0,
        sched_ns=T0,
        first_ns=T0 + S,
        last_ns=T0 + S,
        end_ns=T0 + 6 * S,
        error_class=FailureClass.STALL_TIMEOUT,
    )

    assert longest_stall_seconds(request) == pytest.approx(5.0)


def test_stamps_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(HistoryError):
        ttft_seconds(Request(seq=0, sched_ns=T0, first_ns=T0 - S))


def test_summary_counts_every_request_once() -> None:
    rows = [served(0), served(1), failing(2), censored(3), failing(4, FailureClass.NOT_SENT)]

    summary = slo.summarise(rows)

    counted = summary.complete + summary.failed + summary.censored + summary.not_sent
    assert (summary.scheduled, counted) == (5, 5)
    assert summary.error_ratio == pytest.approx(1 / 3)
    assert summary.ttft.count == 2
    assert summary.ttft_all.p99_seconds == math.inf


def test_summary_agrees_with_numpy() -> None:
    ttfts = [0.05 + 0.001 * (i * 37 % 101) for i in range(101)]
    rows = [served(i, ttft=t) for i, t in enumerate(ttfts)]

    summary = slo.summarise(rows)

    assert summary.ttft.p95_seconds == pytest.approx(
        np.percentile(ttfts, 95, method="inverted_cdf"), abs=1e-6
    )


def test_summary_of_nothing_has_no_invented_figures() -> None:
    summary = slo.summarise([])

    assert math.isnan(summary.error_ratio)
    assert "ttft_p95_seconds" not in summary.figures()


@pytest.mark.parametrize(
    ("count", "shown"), [(99, {50}), (100, {50, 95}), (999, {50, 95}), (1000, {50, 95, 99})]
)
def test_figures_have_no_percentile_below_its_sample_floor(count: int, shown: set[int]) -> None:
    figures = slo.summarise([served(i) for i in range(count)]).figures()

    for name in ("ttft", "service_ttft", "tpot", "chunk_gap", "e2e"):
        assert {q for q in (50, 95, 99) if f"{name}_p{q}_seconds" in figures} == shown


def test_figures_tell_latency_twice_where_requests_failed() -> None:
    rows = [failing(i) if i % 2 else served(i, ttft=0.1) for i in range(200)]

    figures = slo.summarise(rows).figures()

    assert figures["ttft_p95_seconds"] == pytest.approx(0.1)
    for name in ("ttft", "tpot", "e2e"):
        assert figures[f"{name}_with_failures_p95_seconds"] == math.inf
    assert not any("with_failures" in name for name in slo.summarise(rows[::2]).figures())


def test_goodput_counts_every_scheduled_request() -> None:
    rows = [served(0, ttft=0.1), served(1, ttft=3.0), failing(2), censored(3)]

    assert slo.summarise(rows, Budgets(ttft_p95_seconds=1.0)).goodput_ratio == pytest.approx(0.25)


def uncounted(seq: int) -> Request:
    """A complete answer of a target that does not report its usage."""
    return replace(served(seq), n_out=None, token_source="chunks")


def test_goodput_is_unknown_where_nobody_told_a_budgeted_latency() -> None:
    summary = slo.summarise([served(0), uncounted(1)], Budgets(tpot_p95_seconds=9))

    assert summary.unjudged == 1
    assert math.isnan(summary.goodput_ratio)
    assert math.isnan(summary.goodput_per_second)
    assert not {"goodput_ratio", "goodput_per_second"} & summary.figures().keys()


@pytest.mark.parametrize("budgets", [None, Budgets(ttft_p95_seconds=1, e2e_p99_seconds=9)])
def test_goodput_needs_no_usage_where_no_budget_does(budgets: Budgets | None) -> None:
    assert slo.summarise([uncounted(0), uncounted(1)], budgets).goodput_ratio == 1


def test_what_is_too_slow_anyway_is_not_good_whatever_its_usage() -> None:
    budgets = Budgets(ttft_p95_seconds=0.01, tpot_p95_seconds=9)

    assert slo.summarise([uncounted(0), uncounted(1)], budgets).goodput_ratio == 0


def test_an_answer_of_one_token_has_no_pace_and_is_good_without() -> None:
    rows = [served(0, n_out=1), served(1)]

    assert slo.summarise(rows, Budgets(tpot_p95_seconds=9)).goodput_ratio == 1


def judged(rows: list[Request], budgets: Budgets) -> dict[str, Verdict]:
    return {result.name: result.verdict for result in judging.judge_budgets(rows, budgets)}


def test_each_budget_that_is_set_is_judged_and_no_other() -> None:
    budgets = Budgets(ttft_p95_seconds=1.0, lost_streams=0, error_ratio=0.01, recovery_seconds=9)

    assert judged([served(i) for i in range(100)], budgets) == {
        "error_ratio": Verdict.PASSED,
        "ttft_p95_seconds": Verdict.PASSED,
        "lost_streams": Verdict.PASSED,
    }


@pytest.mark.parametrize(
    ("slow", "verdict"), [(5, Verdict.PASSED), (6, Verdict.FAILED)], ids=["at", "above"]
)
def test_p95_of_a_hundred_lets_five_be_slow(slow: int, verdict: Verdict) -> None:
    rows = [served(i, ttft=9.0 if i < slow else 0.1) for i in range(100)]

    assert judged(rows, Budgets(ttft_p95_seconds=1.0)) == {"ttft_p95_seconds": verdict}


def test_failed_requests_are_infinitely_slow() -> None:
    rows = [failing(i) if i < 6 else served(i) for i in range(100)]

    assert judged(rows, Budgets(tpot_p95_seconds=1.0)) == {"tpot_p95_seconds": Verdict.FAILED}


@pytest.mark.parametrize(
    ("budgets", "count"),
    [(Budgets(ttft_p95_seconds=1), 99), (Budgets(ttft_p99_seconds=1), 999), (Budgets(), 0)],
)
def test_below_the_sample_floor_nothing_passes(budgets: Budgets, count: int) -> None:
    rows = [served(i) for i in range(count)]

    assert Verdict.PASSED not in judged(rows, budgets).values()


def test_tpot_without_usage_is_inconclusive() -> None:
    rows = [
        Request(seq=i, sched_ns=T0, first_ns=T0 + S, last_ns=T0 + 2 * S, end_ns=T0 + 2 * S)
        for i in range(200)
    ]

    assert judged(rows, Budgets(tpot_p95_seconds=9)) == {"tpot_p95_seconds": Verdict.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("silent", "verdict"), [(5, Verdict.PASSED), (6, Verdict.INCONCLUSIVE)], ids=["few", "many"]
)
def test_answers_without_usage_that_could_decide_leave_tpot_open(
    silent: int, verdict: Verdict
) -> None:
    rows = [uncounted(i) if i < silent else served(i) for i in range(120)]
    rows = rows[: 100 + silent]

    assert judged(rows, Budgets(tpot_p95_seconds=9)) == {"tpot_p95_seconds": verdict}


@pytest.mark.parametrize(
    ("failures", "total", "limit", "verdict"),
    [
        (1, 100, 0.01, Verdict.PASSED),
        (2, 100, 0.01, Verdict.FAILED),
        (1, 50, 0.01, Verdict.INCONCLUSIVE),
        (0, 50, 0.01, Verdict.INCONCLUSIVE),
        (10, 50, 0.01, Verdict.FAILED),
        (1, 3, 0.0, Verdict.FAILED),
        (0, 3, 0.0, Verdict.PASSED),
        (0, 0, 0.0, Verdict.INCONCLUSIVE),
        (0, 1500, 0.0005, Verdict.INCONCLUSIVE),
        (4, 1500, 0.0005, Verdict.FAILED),
    ],
)
def test_error_ratio(failures: int, total: int, limit: float, verdict: Verdict) -> None:
    rows = [failing(i) if i < failures else served(i) for i in range(total)]

    assert judged(rows, Budgets(error_ratio=limit)) == {"error_ratio": verdict}


def test_censored_requests_that_could_decide_leave_it_open() -> None:
    rows = [censored(i) if i < 2 else served(i) for i in range(100)]

    assert judged(rows, Budgets(error_ratio=0.01)) == {"error_ratio": Verdict.INCONCLUSIVE}


def test_censored_requests_that_cannot_decide_change_nothing() -> None:
    rows = [censored(i) if i < 4 else served(i) for i in range(110)]

    assert judged(rows, Budgets(ttft_p95_seconds=1.0)) == {"ttft_p95_seconds": Verdict.PASSED}


def test_only_a_cut_after_the_headers_is_a_lost_stream() -> None:
    cut = Request(
        seq=0, sched_ns=T0, headers_ns=T0 + 1, status=200, error_class=FailureClass.RESET_MIDSTREAM
    )
    refused = replace(cut, seq=1, status=503, error_class=FailureClass.HTTP_503)

    assert slo.summarise([cut, refused, failing(2)]).lost_streams == 1
    assert judged([cut, refused], Budgets(lost_streams=0)) == {"lost_streams": Verdict.FAILED}


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, Verdict.INCONCLUSIVE), (503, Verdict.PASSED)]
)
def test_an_accepted_stream_cut_off_by_the_end_leaves_lost_streams_open(
    status: int, verdict: Verdict
) -> None:
    row = Request(seq=0, sched_ns=T0, headers_ns=T0 + 1, status=status, censored=True)

    assert judged([row], Budgets(lost_streams=0)) == {"lost_streams": verdict}


def test_longest_stall_is_the_worst_of_all() -> None:
    rows = [served(i, tpot=0.01) for i in range(9)] + [served(9, tpot=2.0)]

    assert judged(rows, Budgets(longest_stall_seconds=1.0)) == {
        "longest_stall_seconds": Verdict.FAILED
    }


def test_an_empty_history_passes_nothing() -> None:
    every = Budgets(
        error_ratio=0.5, ttft_p95_seconds=1, e2e_p99_seconds=1, lost_streams=5,
        longest_stall_seconds=5,
    )  # fmt: skip

    assert set(judged([], every).values()) == {Verdict.INCONCLUSIVE}
