"""Tokens that came together leave TPOT and pauses unjudged; legitimate streams are no bursts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.measure.budgets import BudgetResult, judge_budgets
from hotfire.measure.columns import Columns, p95
from hotfire.measure.history import CONTRADICTED, Request
from hotfire.measure.request_times import how_streamed, tpot_seconds
from hotfire.measure.slo import Account, summarise
from hotfire.measure.streamed import CHUNKS_A_STEP, TOGETHER_US, Streamed
from hotfire.profile import Budgets
from hotfire.verdict import Verdict

T0 = 10**18
BUDGETS = Budgets(tpot_p95_seconds=0.02, longest_stall_seconds=1.0, ttft_p95_seconds=9.0)


def answer(seq: int, gaps_us: list[int], *, n_out: int | None = None) -> Request:
    """Return a complete answer with such pauses, a token a chunk."""
    first = T0 + seq * 10**8 + 5 * 10**8
    last = first + 1000 * sum(gaps_us)
    return Request(
        seq=seq, sched_ns=T0 + seq * 10**8, send_ns=T0 + seq * 10**8, headers_ns=first,
        first_ns=first, first_output_ns=first, last_ns=last, end_ns=last, status=200,
        n_out=len(gaps_us) + 1 if n_out is None else n_out, token_source="usage", gaps_us=gaps_us,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gaps_us", "n_out", "kind"),
    [
        pytest.param([20_000] * 15, None, Streamed.YES, id="steady"),
        pytest.param([330] * 99, None, Streamed.YES, id="fastest-service"),
        pytest.param([20_000, 20_000], 9, Streamed.YES, id="three-tokens-a-chunk"),
        pytest.param(([30] * 4 + [20_000]) * 10, None, Streamed.YES, id="five-chunks-a-step"),
        pytest.param([20_000] * 8 + [2_000_000] + [30] * 7, None, Streamed.YES, id="after-outage"),
        pytest.param([20_000], None, Streamed.YES, id="two-tokens"),
        pytest.param([], 1, None, id="one-token"),
        pytest.param([], 4, None, id="one-chunk-of-one-step"),
        pytest.param([30] * 4, None, Streamed.NO, id="released-at-the-end"),
        pytest.param([0, 0, 800, 0], None, Streamed.NO, id="released-with-a-hiccup"),
        pytest.param([], 64, Streamed.NO, id="joined-into-one-chunk"),
        pytest.param(([30] * 15 + [300_000]) * 4, None, Streamed.BURSTS, id="buffer-of-4-KB"),
        pytest.param(([0] * 99 + [900_000]) * 2, None, Streamed.BURSTS, id="buffer-of-32-KB"),
    ],
)
def test_how_an_answer_came_is_told_by_its_pauses(
    gaps_us: list[int], n_out: int | None, kind: Streamed | None
) -> None:
    assert how_streamed(answer(0, gaps_us, n_out=n_out)) is kind


@given(st.lists(st.integers(TOGETHER_US + 1, 10**6), min_size=1, max_size=50))
def test_pauses_that_an_engine_can_make_are_seen(gaps_us: list[int]) -> None:
    assert how_streamed(answer(0, gaps_us)) is Streamed.YES


@given(st.integers(CHUNKS_A_STEP + 1, 60), st.integers(2, 6), st.integers(10**5, 10**6))
def test_no_buffer_above_a_step_is_believed(chunks: int, releases: int, pause_us: int) -> None:
    released = [gap for _ in range(releases) for gap in (pause_us, *[20] * (chunks - 1))]

    assert tpot_seconds(answer(0, released[1:])) is None


def judged(rows: list[Request]) -> dict[str, BudgetResult]:
    return {result.name: result for result in judge_budgets(rows, BUDGETS)}


@pytest.mark.parametrize("gaps_us", [[30] * 4, ([30] * 15 + [300_000]) * 4])
def test_a_budget_between_tokens_is_open_where_tokens_came_together(gaps_us: list[int]) -> None:
    results = judged([answer(seq, gaps_us) for seq in range(100)])

    result = results["tpot_p95_seconds"]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.measured is None
    assert "not observable: of 100 of 100 streams" in result.reason
    assert results["ttft_p95_seconds"].verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("first_token_seconds", "verdict"), [(0.9, Verdict.PASSED), (1.1, Verdict.INCONCLUSIVE)]
)
def test_no_pause_that_nobody_saw_was_longer_than_the_whole_answer(
    first_token_seconds: float, verdict: Verdict
) -> None:
    rows = [answer(seq, [30] * 4) for seq in range(100)]
    waited = round((first_token_seconds - 0.5) * 1e9)
    stamps = ("headers_ns", "first_ns", "first_output_ns", "last_ns", "end_ns")
    late = [
        replace(row, **{s: getattr(row, s) + waited for s in stamps if getattr(row, s) is not None})
        for row in rows
    ]

    result = judged(late)["longest_stall_seconds"]

    assert result.verdict is verdict
    assert ("not observable" in result.reason) is (verdict is Verdict.INCONCLUSIVE)


def test_a_stall_that_was_seen_fails_whatever_was_not() -> None:
    rows = [answer(seq, ([30] * 15 + [1_200_000]) * 4) for seq in range(100)]

    assert judged(rows)["longest_stall_seconds"].verdict is Verdict.FAILED


@pytest.mark.parametrize(("buffered", "verdict"), [(5, Verdict.PASSED), (6, Verdict.INCONCLUSIVE)])
def test_as_many_as_a_p95_allows_may_be_unseen(buffered: int, verdict: Verdict) -> None:
    pauses = [[30] * 4] * buffered + [[10_000] * 4] * 100
    rows = [answer(seq, gaps_us) for seq, gaps_us in enumerate(pauses)]

    assert judged(rows)["tpot_p95_seconds"].verdict is verdict
    assert Account.of(rows).streamed is (Streamed.YES if buffered == 5 else Streamed.NO)


def test_what_nobody_saw_is_not_good_and_has_no_figure() -> None:
    rows = [answer(0, [30] * 4), answer(1, [30] * 4)]

    summary = summarise(rows, BUDGETS)

    assert (summary.streamed, summary.unobserved, summary.unjudged) == (Streamed.NO, 2, 2)
    assert "goodput_ratio" not in summary.figures()
    assert summary.tpot.count == summary.chunk_gap.count == 0


def test_gaps_of_an_answer_that_came_at_once_are_not_pooled_with_others() -> None:
    rows = [answer(seq, [10_000] * 4) for seq in range(30)] + [answer(30, [30] * 4)]

    summary = summarise(rows)

    assert summary.streamed_told == "yes, but for 1 of 31 answers"
    assert (summary.chunk_gap.count, summary.chunk_gap.p50_seconds) == (120, 0.01)


def test_windows_leave_out_what_was_not_seen() -> None:
    columns = Columns.of([answer(0, [10_000] * 4), answer(1, [30] * 4)])

    assert p95(columns.tpot) == 0.01
    assert len(columns.tpot) == 2


def test_a_count_that_the_stream_contradicts_tells_no_pace() -> None:
    rows = [
        replace(answer(seq, [250_000] * 4, n_out=10**6), token_source=CONTRADICTED)
        for seq in range(100)
    ]

    result = judged(rows)["tpot_p95_seconds"]

    assert result.verdict is Verdict.INCONCLUSIVE
    assert "of 100 more it is unknown" in result.reason
    assert summarise(rows).output_tokens == 0


def test_an_answer_that_is_no_stream_is_none_in_a_report_either() -> None:
    whole = replace(answer(0, [], n_out=9), first_ns=None, first_output_ns=None)

    assert how_streamed(whole) is Streamed.NO
    assert summarise([whole]).streamed is Streamed.NO


def test_a_history_that_keeps_no_pauses_is_judged_by_its_span() -> None:
    row = answer(0, [10_000] * 4)

    assert tpot_seconds(replace(row, gaps_us=())) == pytest.approx(0.01)
