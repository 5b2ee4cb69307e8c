"""Sameness is shown, not assumed: few or worse requests never pass for the same as before."""

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from hotfire.measure.columns import Columns
from hotfire.measure.equivalence import SAME_FACTOR, Equivalence, equivalence, together

S = 10**9


def rows(values: list[float], *, per_second: int = 5) -> Columns:
    count = len(values)
    return Columns(
        sched_ns=np.arange(count, dtype=np.int64) * S // per_second,
        complete=np.isfinite(np.array(values)),
        ttft=np.array(values),
        tpot=np.full(count, np.nan),
    )


def sample(seed: int, count: int = 400, *, scale: float = 1.0) -> list[float]:
    return list(scale * np.random.default_rng(seed).uniform(0.1, 0.2, count))


def compared(before: list[float], after: list[float]) -> Equivalence:
    found = equivalence("ttft", rows(before), rows(after))
    assert found is not None
    return found


def test_two_samples_of_the_same_are_the_same() -> None:
    assert compared(sample(1), sample(2)).same


@pytest.mark.parametrize("scale", [1.24, 1.3, 2.0])
def test_what_is_slower_by_about_the_factor_is_not_shown_to_be_the_same(scale: float) -> None:
    assert not compared(sample(1), sample(2, scale=scale)).same


@pytest.mark.parametrize(("floor", "same"), [(0.0, False), (0.02, False), (0.2, True)])
def test_noise_is_part_of_both_times(floor: float, same: bool) -> None:
    before, after = rows(sample(1)), rows(sample(2, scale=1.3))

    found = equivalence("ttft", before, after, floor_seconds=floor)

    assert found is not None
    assert found.same is same
    assert found.bound <= found.upper_ratio


def test_too_few_requests_show_nothing() -> None:
    assert equivalence("ttft", rows(sample(1)), rows(sample(2, 99))) is None


def test_a_baseline_that_failed_is_compared_with_nothing() -> None:
    assert equivalence("ttft", rows([float("inf")] * 200), rows(sample(2))) is None


def test_failing_afterwards_is_never_the_same() -> None:
    failing = [float("inf") if place % 10 == 0 else value for place, value in enumerate(sample(2))]

    assert not compared(sample(1), failing).same


def test_tpot_that_nobody_measured_is_not_compared() -> None:
    assert equivalence("tpot", rows(sample(1)), rows(sample(2))) is None


def test_one_bad_second_of_requests_weighs_as_one_second() -> None:
    calm = sample(2)
    bad = [9.0 if 100 <= place < 122 else value for place, value in enumerate(calm)]

    assert compared(sample(1), calm).same
    assert not compared(sample(1), bad).same


def test_the_same_rows_give_the_same_bound() -> None:
    assert compared(sample(1), sample(2)) == compared(sample(1), sample(2))


def test_the_bound_agrees_with_scipy_where_each_second_has_one_request() -> None:
    before, after = sample(1), sample(2)

    found = equivalence("ttft", rows(before, per_second=1), rows(after, per_second=1))

    def ratio(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        high = [np.percentile(v, 95, axis=axis, method="inverted_cdf") for v in (x, y)]
        return np.asarray(high[1] / high[0])

    theirs = scipy.stats.bootstrap(
        (after, before)[::-1], ratio, vectorized=True, confidence_level=0.9, method="percentile",
        rng=np.random.default_rng(7), n_resamples=2000,
    )  # fmt: skip
    assert found is not None
    assert found.upper_ratio == pytest.approx(theirs.confidence_interval.high, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0.5, 3.0))
def test_the_ratio_is_that_of_numpys_percentiles(seed: int, scale: float) -> None:
    before, after = sample(seed, 150), sample(seed + 1, 150, scale=scale)

    high = [np.percentile(v, 95, method="inverted_cdf") for v in (before, after)]

    assert compared(before, after).ratio == pytest.approx(high[1] / high[0])
    assert compared(before, after).upper_ratio >= compared(before, after).ratio * 0.9


@pytest.mark.parametrize("spread", [0.05, 0.3])
def test_faults_that_are_slower_by_the_factor_are_seldom_shown_together_to_be_less(
    spread: float,
) -> None:
    """The bound is one of 95 %, with six faults or with thirty; 6.5 % is three standard errors."""
    chance, tries = np.random.default_rng(7), 2000
    for faults in (6, 30):
        ratios = SAME_FACTOR * np.exp(chance.normal(0, spread, (tries, faults)))
        uppers = [bounds[1] for row in ratios if (bounds := together(list(row)))]

        assert len(uppers) == tries
        assert np.mean([upper < SAME_FACTOR for upper in uppers]) < 0.065


def test_few_faults_show_nothing_together() -> None:
    assert together([1.0] * 4) is None
    assert together([1.0] * 5) == (1.0, 1.0)
