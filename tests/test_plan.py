"""A plan is pure data: the same seed, the same arrivals, the same prompts."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hotfire.errors import ProfileError
from hotfire.traffic.workload.plan import LoadPlan, schedule


def plan(**values: Any) -> LoadPlan:  # noqa: ANN401 - any field of the plan
    return LoadPlan(**{"url": "http://gateway:8080", "model": "tiny"} | values)


@given(st.integers(), st.floats(0.5, 50), st.sampled_from(["constant", "poisson"]))
def test_arrivals_are_ordered_numbered_and_within_the_duration(
    seed: int, rate: float, process: str
) -> None:
    arrivals = schedule(plan(seed=seed, rate_per_second=rate, process=process, duration_seconds=20))

    offsets = [arrival.offset_ns for arrival in arrivals]
    assert offsets == sorted(offsets)
    assert [arrival.seq for arrival in arrivals] == list(range(len(arrivals)))
    assert all(0 <= offset <= 20 * 10**9 for offset in offsets)


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_does_not() -> None:
    first = schedule(plan(seed=1, duration_seconds=60))

    assert first == schedule(plan(seed=1, duration_seconds=60))
    assert first != schedule(plan(seed=2, duration_seconds=60))


def test_a_longer_plan_starts_with_the_shorter_one() -> None:
    short = schedule(plan(duration_seconds=10))

    assert schedule(plan(duration_seconds=20))[: len(short)] == short


def test_constant_arrivals_are_spaced_evenly() -> None:
    arrivals = schedule(plan(process="constant", rate_per_second=4, duration_seconds=2))

    assert [arrival.offset_ns / 10**9 for arrival in arrivals] == [i / 4 for i in range(8)]


def test_poisson_gaps_have_their_mean_and_spread() -> None:
    arrivals = schedule(plan(rate_per_second=10, duration_seconds=2000, seed=3))

    gaps = [b.offset_ns - a.offset_ns for a, b in itertools.pairwise(arrivals)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(10**8, rel=0.03)
    assert spread == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("url", ["ftp://gateway", "gateway:80", "http://gateway/v1"])
def test_an_address_it_cannot_load_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="expected http"):
        plan(url=url)


def test_a_plan_reads_back_as_written(tmp_path: Path) -> None:
    written = plan(seed=5, ttft_seconds=2.0)
    (tmp_path / "plan.json").write_text(written.model_dump_json())

    assert LoadPlan.read(tmp_path / "plan.json") == written


def test_a_bad_plan_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"url": "http://a"}')

    with pytest.raises(ProfileError, match=r"plan\.json"):
        LoadPlan.read(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"headers": {"x-a": "b\r\nx-c: d"}}, r"headers\n.*value of x-a is more than one line; wr"),
        ({"headers": {"x-a\nx-b": "c"}}, r"headers\n.*is no name of a header; write letters"),
        (
            {"tenants": [{"name": "t", "headers": {"x-a": "b\nc"}}]},
            r"tenants.0.headers\n.*value of x-a is more than one line; write it on one",
        ),
        ({"path": "/v1\r\nx-c:"}, r"path\n"),
        ({"url": "http://me:hidden@gateway"}, r"url\n.*name them in the headers of a"),
        ({"url": "http://gateway?api_key=hidden"}, r"url\n.*no place for a query"),
        ({"path": "/v1/completions?a=b&code=hidden"}, r"path\n.*no place for 'code'"),
        ({"headers": {"Authorization": "Bearer hidden"}}, r"headers\n.*would be a secret"),
        ({"headers": {"x-route": "sk-hiddenhiddenhidden"}}, r"headers\n.*would be a secret"),
        ({"extra_body": {"api_key": "hidden"}}, r"extra_body\n.*no place for a secret"),
    ],
)
def test_what_would_break_a_request_or_show_a_secret_is_refused(
    fields: dict[str, object], told: str
) -> None:
    with pytest.raises(ValidationError, match=told) as refused:
        plan(**fields)

    assert "hidden" not in str(refused.value)


def test_bursts_that_nobody_can_send_are_refused_with_the_remedy() -> None:
    assert plan(process="gamma", burstiness=0.01).burstiness == 0.01

    with pytest.raises(ValidationError, match=r"burstiness\n.*take 0\.01 or more, or `steps`"):
        plan(process="gamma", burstiness=0.009)
