"""Arrivals have the distribution they claim, whatever the rate does."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hotfire.errors import ProfileError
from hotfire.traffic.workload.arrivals import Process, Stretch, on_the_clock, unit_times
from hotfire.traffic.workload.plan import LoadPlan, arrivals_of, schedule

PROCESSES: tuple[Process, ...] = ("constant", "poisson", "gamma")
rates = st.floats(0.0, 50.0)
stretches = st.lists(st.builds(Stretch, st.floats(0.1, 20), rates, rates), min_size=1, max_size=5)


def plan(**values: Any) -> LoadPlan:  # noqa: ANN401 - any field of the plan
    return LoadPlan.model_validate({"url": "http://gateway", "model": "tiny"} | values)


def gaps(**values: Any) -> np.ndarray:  # noqa: ANN401 - any field of the plan
    offsets = [0, *(arrival.offset_ns for arrival in schedule(plan(**values)))]
    return np.diff(offsets) / 1e9


def test_poisson_gaps_are_exponential() -> None:
    seen = gaps(rate_per_second=20, duration_seconds=500, seed=11)

    assert scipy.stats.kstest(seen, scipy.stats.expon(scale=1 / 20).cdf).pvalue > 0.01


@pytest.mark.parametrize("shape", [0.25, 0.8, 1.0, 4.0])
def test_gamma_gaps_are_gamma(shape: float) -> None:
    fields = {"process": "gamma", "burstiness": shape, "rate_per_second": 20, "seed": 5}
    seen = gaps(duration_seconds=500, **fields)

    assert (
        scipy.stats.kstest(seen, scipy.stats.gamma(shape, scale=1 / (20 * shape)).cdf).pvalue > 0.01
    )
    # The test has the power to tell another shape of the same mean.
    assert (
        scipy.stats.kstest(seen, scipy.stats.gamma(2 * shape, scale=1 / (40 * shape)).cdf).pvalue
        < 1e-6
    )


def test_a_poisson_ramp_is_uniform_on_the_integral_of_its_rate() -> None:
    fields = {"rate_per_second": 5, "rate_end_per_second": 45, "duration_seconds": 200}
    at = np.array([arrival.offset_ns / 1e9 for arrival in schedule(plan(seed=2, **fields))])

    done = (5 * at + 0.1 * at**2) / 5000  # the integral of 5 + 40 t / 200, by hand
    assert scipy.stats.kstest(done, "uniform").pvalue > 0.01
    assert len(at) == pytest.approx(5000, abs=4 * math.sqrt(5000))


@given(stretches, st.sampled_from(PROCESSES), st.integers())
def test_arrivals_keep_the_order_and_end_with_the_last_stretch(
    profile: list[Stretch], process: Process, seed: int
) -> None:
    offsets = list(on_the_clock(unit_times(process, seed=seed, burstiness=0.5), profile))

    assert offsets == sorted(offsets)
    assert all(0 <= offset <= sum(s.seconds for s in profile) * (1 + 1e-9) for offset in offsets)


@given(stretches)
def test_even_arrivals_are_as_many_as_the_rate_integrates_to(profile: list[Stretch]) -> None:
    offsets = list(on_the_clock(unit_times("constant", seed=0), profile))

    area = sum(s.seconds * (s.begin_per_second + s.end_per_second) / 2 for s in profile)
    assert abs(len(offsets) - area) <= 1


@given(stretches)
def test_each_even_arrival_lies_where_the_integral_says(profile: list[Stretch]) -> None:
    offsets = list(on_the_clock(unit_times("constant", seed=0), profile))

    for number, offset in enumerate(offsets[:200]):
        assert expected_by(profile, offset) == pytest.approx(number, rel=1e-6, abs=1e-6)


def expected_by(profile: list[Stretch], moment: float) -> float:
    """Return the integral of the rate, stretch by stretch."""
    area = 0.0
    for stretch in profile:
        inside = min(moment, stretch.seconds)
        slope = (stretch.end_per_second - stretch.begin_per_second) / stretch.seconds
        area += inside * (stretch.begin_per_second + slope * inside / 2)
        moment -= inside
    return area


def test_steps_pause_where_the_rate_is_zero() -> None:
    steps = [{"seconds": s, "rate_per_second": r} for s, r in ((2, 3), (5, 0), (1, 4))]
    arrivals = schedule(plan(process="constant", steps=steps))

    seconds = [arrival.offset_ns / 1e9 for arrival in arrivals]
    assert seconds == pytest.approx([*(i / 3 for i in range(6)), *(7 + i / 4 for i in range(4))])


@given(st.integers(), st.integers(1, 7), st.sampled_from(PROCESSES))
def test_the_shares_of_the_workers_are_the_whole_plan(
    seed: int, workers: int, process: Process
) -> None:
    whole = plan(seed=seed, process=process, burstiness=2, duration_seconds=10)
    shares = [list(arrivals_of(whole, worker=k, workers=workers)) for k in range(workers)]

    assert sorted(itertools.chain(*shares)) == schedule(whole)
    assert all(a.seq % workers == k for k, share in enumerate(shares) for a in share)


def test_arrivals_are_those_of_another_mersenne_twister() -> None:
    arrivals = schedule(plan(seed=1, rate_per_second=10, duration_seconds=2))

    other = np.random.RandomState([1])  # seeded as Python seeds with an integer
    expected = np.cumsum(-np.log(1 - other.random_sample(10))) / 10
    assert [a.offset_ns / 1e9 for a in arrivals[:10]] == pytest.approx(expected, abs=1e-9)


def test_a_plan_without_a_request_is_an_error_that_names_the_remedy() -> None:
    with pytest.raises(ProfileError, match=r"duration_seconds: .* make it longer or the rate"):
        schedule(plan(rate_per_second=0.001, duration_seconds=1))


MOONCAKE = [
    {"timestamp": 27482, "input_length": 955, "output_length": 52, "hash_ids": [46, 47]},
    {"timestamp": 30535, "input_length": 1001, "output_length": 26, "hash_ids": [46, 2353]},
]
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,110,27
"""


def trace(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace"
    path.write_text(text)
    return path


def test_a_mooncake_trace_is_replayed_at_its_speed(tmp_path: Path) -> None:
    path = trace(tmp_path, "\n".join(map(json.dumps, reversed(MOONCAKE))))
    replay = plan(process="trace", trace=path, trace_speed=2)

    assert [a.offset_ns for a in schedule(replay)] == [0, 3_053_000_000 // 2]
    assert replay.self_contained().trace_rows[1][1:] == (1001, 26, (46, 2353))
    assert replay.self_contained().trace_block_tokens == 512


def test_an_azure_trace_keeps_its_seven_digits(tmp_path: Path) -> None:
    replay = plan(process="trace", trace=trace(tmp_path, AZURE))

    assert [a.offset_ns for a in schedule(replay)] == [0, 52_000_000]
    assert [row[1:3] for row in replay.self_contained().trace_rows] == [(4808, 10), (110, 27)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "has no row"), ("a,b\n1,2\n", ":2 has no known form"), ('{"timestamp": ', ":1 is not")],
)
def test_a_bad_trace_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ProfileError, match=f"trace: .*{complaint}"):
        schedule(plan(process="trace", trace=trace(tmp_path, text)))


def test_a_trace_without_a_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="process trace needs `trace`"):
        plan(process="trace")


def test_a_plan_with_its_trace_reads_back_as_written(tmp_path: Path) -> None:
    replay = plan(process="trace", trace=trace(tmp_path, AZURE)).self_contained()

    assert LoadPlan.model_validate_json(replay.model_dump_json()) == replay
