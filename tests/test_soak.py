"""The soak check tells a leak and a slowing engine from noise, and its own control is found."""

from random import Random

import pytest

from hotfire.errors import HarnessError
from hotfire.verdict import Verdict
from suites.slo.test_steady_load_degrades_nothing import Series, restarted

MEGABYTE = 1e6


def memory(*, minutes: float, leak_per_minute: float = 0.0) -> Series:
    """Return an engine's memory that wavers by a tenth of a percent."""
    dice = Random(3)  # noqa: S311
    every = 60 * minutes / 40
    samples = [
        (n * every, 30 * MEGABYTE * (1 + leak_per_minute * n * every / 60 + dice.gauss(0, 0.001)))
        for n in range(40)
    ]
    return Series(name="memory", samples=samples)


@pytest.mark.parametrize("minutes", [1, 10, 60])
def test_a_sound_engine_passes_and_a_drift_put_into_its_data_is_found(minutes: float) -> None:
    sound = memory(minutes=minutes)

    assert sound.trend.judge(sound.at_most) is Verdict.PASSED
    assert sound.drifted().judge(sound.at_most) is Verdict.FAILED


def test_over_an_hour_the_drift_is_a_percent_a_minute() -> None:
    assert memory(minutes=60).drifted().rise == pytest.approx(0.585, abs=0.02)


def test_an_engine_that_leaks_a_percent_a_minute_fails_over_an_hour() -> None:
    leaking = memory(minutes=60, leak_per_minute=0.01)

    assert leaking.trend.judge(leaking.at_most) is Verdict.FAILED


def test_a_quarter_of_a_megabyte_a_second_is_seen_within_a_minute() -> None:
    leaking = memory(minutes=1, leak_per_minute=0.5)

    assert leaking.trend.judge(leaking.at_most) is Verdict.FAILED


def test_what_the_operator_calls_noise_may_rise() -> None:
    series = memory(minutes=10)
    noisy = Series(name="p95 TTFT", samples=[(at, 0.1) for at, _ in series.samples], floor=0.02)

    assert noisy.at_most == pytest.approx(0.2)


def test_too_few_samples_are_inconclusive() -> None:
    with pytest.raises(HarnessError, match="soak_seconds longer"):
        _ = Series(name="memory", samples=[(0.0, 1.0)]).trend


def test_an_engine_that_was_replaced_or_restarted_is_named() -> None:
    assert restarted({"a": 0, "b": 1}, {"a": 0, "b": 1}) == []
    assert sorted(restarted({"a": 0, "b": 1}, {"a": 1, "c": 0})) == ["a", "b", "c"]
