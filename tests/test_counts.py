"""Random counts are judged by exact tests."""

import pytest
import scipy

from hotfire.measure.counts import ALPHA, accepted_sums, upper_bound


@pytest.mark.parametrize("n", [1, 59, 300, 3000])
def test_none_of_n_bounds_the_share_by_the_rule_of_three(n: int) -> None:
    assert upper_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n))


def test_all_of_n_bound_nothing() -> None:
    assert upper_bound(7, 7) == 1.0
    with pytest.raises(ValueError, match="within 0-n"):
        upper_bound(0, 0)


def test_sums_of_ones_and_noughts_are_hypergeometric() -> None:
    exact = scipy.stats.hypergeom(1000, 300, 500)

    accepted = accepted_sums({0: 700, 1: 300}, 500)

    assert accepted.low == pytest.approx(exact.ppf(ALPHA / 2), abs=2)
    assert accepted.high == pytest.approx(exact.ppf(1 - ALPHA / 2), abs=2)


def test_sum_of_equal_items_is_certain() -> None:
    assert str(accepted_sums({4: 10}, 5)) == "20..20"
    with pytest.raises(ValueError, match="cannot choose"):
        accepted_sums({4: 10}, 11)
