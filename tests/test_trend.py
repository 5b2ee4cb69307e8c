"""A rise over a run is bounded: sound data pass, a drift is found, and noise is neither."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.measure.columns import Columns
from hotfire.measure.history import FailureClass, Request
from hotfire.measure.trend import drifting, p95_over_time, trend
from hotfire.verdict import Verdict

HOUR, MINUTE = 3600, 60
T0, SECOND = 1_760_000_000_000_000_000, 1_000_000_000


def noisy(spread: float, *, level: float = 0.2, seed: int = 1) -> list[tuple[float, float]]:
    """Return an hour of a steady series, a sample a minute."""
    dice = Random(seed)  # noqa: S311
    return [(at, level * (1 + spread * dice.uniform(-1, 1))) for at in range(0, HOUR, MINUTE)]


def test_what_stays_rises_by_nothing() -> None:
    found = trend(noisy(0))

    assert found is not None
    assert (found.rise, found.upper, found.level) == (0, 0, 0.2)


def test_sound_data_pass_and_the_same_data_with_a_drift_do_not() -> None:
    sound = noisy(0.05)
    drifted = trend(drifting(sound, per_minute=0.01))
    found = trend(sound)

    assert found is not None
    assert found.judge(0.05) is Verdict.PASSED
    assert drifted is not None
    assert drifted.judge(0.05) is Verdict.FAILED
    assert drifted.rise == pytest.approx(0.59, abs=0.05)


def test_what_is_too_noisy_to_bound_is_neither() -> None:
    found = trend(noisy(0.9))

    assert found is not None
    assert found.judge(0.05) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("value", [40.0, math.inf])
def test_one_hiccup_is_no_trend(value: float) -> None:
    hiccup = [*noisy(0.02)[:-1], (HOUR - MINUTE, value)]
    found = trend(hiccup)

    assert found is not None
    assert found.judge(0.05) is Verdict.PASSED


@pytest.mark.parametrize(
    "samples",
    [[], noisy(0)[:5], [(at, math.inf) for at, _ in noisy(0)], [(at, 0.0) for at, _ in noisy(0)]],
    ids=["none", "too few", "never answered", "no level"],
)
def test_what_tells_no_trend_has_none(samples: list[tuple[float, float]]) -> None:
    assert trend(samples) is None


@given(st.floats(-0.5, 2.0))
def test_a_straight_line_rises_by_what_it_does(rise: float) -> None:
    found = trend([(at, 1 + rise * at / 590) for at in range(0, 600, 10)])

    assert found is not None
    assert found.rise == pytest.approx(rise, abs=1e-6)


def rows(*, slower_by: float = 0.0, failed: range = range(0)) -> Columns:
    """Return ten requests a second for a minute; those at the end are slower than at the start."""
    found = []
    for seq in range(600):
        at = T0 + seq * SECOND // 10
        first = at + round((0.1 + slower_by * seq / 600) * SECOND)
        lost = FailureClass.CONNECT if seq in failed else None
        found.append(
            Request(seq=seq, sched_ns=at, send_ns=at, headers_ns=at, first_ns=first,
                    first_output_ns=first, last_ns=first, end_ns=first, error_class=lost)
        )  # fmt: skip
    return Columns.of(found)


def test_a_latency_over_time_has_a_value_a_window() -> None:
    told = p95_over_time(rows(), rows().ttft, windows=20)

    assert len(told) == 20
    assert [value for _, value in told] == pytest.approx([0.1] * 20)
    assert told[0][0] == pytest.approx(1.5, abs=0.1)


def test_an_engine_that_slows_is_seen_in_it() -> None:
    slowing = rows(slower_by=0.05)
    found = trend(p95_over_time(slowing, slowing.ttft, windows=20))

    assert found is not None
    assert found.judge(0.05) is Verdict.FAILED


def test_a_window_in_which_most_fail_is_infinite() -> None:
    broken = rows(failed=range(30, 60))

    assert math.inf in [value for _, value in p95_over_time(broken, broken.ttft, windows=20)]


def test_no_request_makes_no_window() -> None:
    nothing = Columns.of([])

    assert p95_over_time(nothing, nothing.ttft, windows=20) == []
