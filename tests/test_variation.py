"""What chance explains is what scipy says it explains, and what it does not is found."""

import math

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from hotfire.measure.variation import Variation, least_failures, power_of_failures

CALM = np.array([1.0, 1.2, 0.9, 1.1, 1.0, 0.8, 1.1, 0.9])


def test_a_baseline_of_two_batches_says_nothing_about_noise() -> None:
    assert Variation.of(CALM[:2]) is None


def test_batches_without_a_value_do_not_count() -> None:
    with_gaps = np.concatenate([CALM[:4], [math.nan], CALM[4:], [math.nan]])

    assert Variation.of(with_gaps) == Variation.of(CALM)


def test_spread_is_the_standard_deviation_within_each_stretch_pooled() -> None:
    # The other stretch lies ten times higher: a machine's speed between stretches is no noise.
    found = Variation.of(CALM, [CALM[:5] + 10])

    assert found is not None
    squares = 7 * CALM.var(ddof=1) + 4 * CALM[:5].var(ddof=1)
    assert found.freedom == 11
    assert found.spread == pytest.approx(math.sqrt(squares / 11))
    assert found.mean == pytest.approx(CALM.mean())


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_limit_is_the_prediction_limit_of_student_s_t(seed: int, batches: int) -> None:
    values = np.random.default_rng(seed).normal(5, 2, 20)
    found = Variation.of(values)
    assert found is not None

    chance = found.chance(batches, false_alarm=0.01)

    spread = values.std(ddof=1) * math.sqrt(found.inflation * (1 / batches + 1 / 20))
    assert chance == pytest.approx(scipy.stats.t.ppf(0.99, 19) * spread)
    assert found.detectable(batches, false_alarm=0.01, power=0.8) == pytest.approx(
        chance + scipy.stats.t.ppf(0.8, 19) * spread
    )


def test_batches_that_resemble_their_neighbours_tell_less() -> None:
    chance = np.random.default_rng(1)
    noise = chance.normal(size=4000)
    walk = np.array([noise[0], *(0.0,) * 3999])
    for place in range(1, 4000):
        walk[place] = 0.4 * walk[place - 1] + noise[place]

    alone, alike = Variation.of(noise), Variation.of(walk)

    assert alone is not None
    assert alike is not None
    assert alone.inflation == pytest.approx(1, abs=0.1)
    assert alike.inflation == pytest.approx(1.4 / 0.6, rel=0.1)


def test_the_declared_false_alarm_is_kept_where_noise_is_normal() -> None:
    chance = np.random.default_rng(2)
    alarms = 0
    for _ in range(2000):
        found = Variation.of(chance.normal(size=30))
        assert found is not None
        after = chance.normal(size=20).mean()
        alarms += after - found.mean > found.chance(20, false_alarm=0.05)

    assert alarms / 2000 <= 0.055


@given(st.integers(1, 2000), st.floats(0, 0.05))
def test_a_sound_service_rarely_reaches_the_least_failures(requests: int, sound: float) -> None:
    least = least_failures(requests, sound_ratio=sound, false_alarm=0.001)

    assert scipy.stats.binom.sf(least - 1, requests, sound) <= 0.001
    assert least == 1 or scipy.stats.binom.sf(least - 2, requests, sound) > 0.001


def test_who_promises_no_failure_at_all_is_held_to_it() -> None:
    assert least_failures(500, sound_ratio=0.0, false_alarm=0.001) == 1


def test_power_is_the_chance_to_reach_the_least_failures() -> None:
    least = least_failures(640, sound_ratio=0.001, false_alarm=0.0003)

    assert power_of_failures(640, least, ratio=0.02) == pytest.approx(
        scipy.stats.binom.sf(least - 1, 640, 0.02)
    )
    assert power_of_failures(3, 4, ratio=0.5) == 0.0
