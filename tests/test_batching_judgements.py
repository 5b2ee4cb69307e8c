"""What the check of batching concludes from a sweep."""

import pytest

from hotfire import TargetProfile
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass, Request
from suites.slo.test_batching_raises_throughput import doubled, rated_concurrency, stage_of

SECOND = 10**9


def promising(budgets: dict[str, float], most_at_once: int | None = None) -> TargetProfile:
    load = {"rate_per_second": 10, "max_tokens": 16, "most_at_once": most_at_once}
    fields = {"gateway": {"url": "http://gateway"}, "engine": {"model": "tiny"}}
    return TargetProfile.model_validate({"name": "x", "load": load, "budgets": budgets, **fields})


def row(end_seconds: float, failed: FailureClass | None = None) -> Request:
    end_ns = round(end_seconds * SECOND)
    begin_ns = end_ns - SECOND
    return Request(
        seq=0, sched_ns=begin_ns, send_ns=begin_ns, headers_ns=begin_ns + 1,
        first_ns=begin_ns + SECOND // 10, last_ns=end_ns, end_ns=end_ns, error_class=failed,
    )  # fmt: skip


@pytest.mark.parametrize(("most", "levels"), [(1, [1]), (8, [1, 2, 4, 8]), (10, [1, 2, 4, 8, 10])])
def test_concurrency_is_doubled_up_to_the_rated_point(most: int, levels: list[int]) -> None:
    assert list(doubled(most)) == levels


@pytest.mark.parametrize(
    ("budgets", "most_at_once", "expected"),
    [
        ({"e2e_p95_seconds": 2.0}, None, 20),
        ({"e2e_p95_seconds": 2.0}, 12, 12),
        ({"ttft_p99_seconds": 1.0, "tpot_p99_seconds": 0.1}, None, 25),
    ],
)
def test_the_rated_point_is_what_is_in_flight_by_the_promise(
    budgets: dict[str, float], most_at_once: int | None, expected: int
) -> None:
    assert rated_concurrency(promising(budgets, most_at_once)) == expected


def test_without_a_promise_there_is_no_rated_point() -> None:
    with pytest.raises(HarnessError, match="e2e_p95_seconds"):
        rated_concurrency(promising({"error_ratio": 0.1}))


def test_what_ended_in_the_window_is_counted() -> None:
    rows = [row(at) for at in (1.0, 2.0, 2.5, 3.5, 4.0)]

    found = stage_of(rows, 2, 2 * SECOND, 4 * SECOND)

    assert (found.answers, found.per_second, found.ttft_seconds) == (3, 1.5, 0.1)


@pytest.mark.parametrize("rows", [[], [row(1.0), row(1.5, FailureClass.HTTP_429)]])
def test_of_nothing_or_of_refusals_nothing_is_told(rows: list[Request]) -> None:
    with pytest.raises(HarnessError, match="failed"):
        stage_of(rows, 2, 0, 2 * SECOND)
