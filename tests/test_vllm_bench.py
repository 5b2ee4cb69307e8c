"""Another tool's figures are compared by the same definition, and medians decide."""

import pytest

from hotfire.history import Request
from hotfire.traffic.vllm_bench import Compared, compare

S = 10**9
ROWS = [
    Request(
        seq=i, sched_ns=i * S, send_ns=i * S + S // 2, first_ns=i * S + 6 * S // 10,
        last_ns=i * S + 7 * S // 10, n_out=11, gaps_us=(10_000,) * 10,
    )
    for i in range(10)
]  # fmt: skip
THEIRS = {
    "mean_ttft_ms": 120.0, "median_ttft_ms": 101.0, "mean_tpot_ms": 10.0, "median_tpot_ms": 10.0,
    "median_itl_ms": 11.0,
}  # fmt: skip


def found() -> dict[str, Compared]:
    return {one.name: one for one in compare(ROWS, THEIRS)}


def test_their_ttft_is_compared_with_ours_from_the_sending() -> None:
    assert found()["median TTFT"].ours_seconds == pytest.approx(0.1)
    assert found()["median TTFT"].agrees


def test_a_median_that_differs_makes_doubt_and_a_mean_does_not() -> None:
    doubts = [name for name, one in found().items() if one.doubtful]

    assert doubts == ["median gap"]
    assert not found()["mean TTFT"].agrees
    assert "(+20.0%): differs" in found()["mean TTFT"].told()
