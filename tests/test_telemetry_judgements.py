"""What the check of telemetry's age takes for old."""

import pytest

from hotfire.prometheus import RecordingRule, ScrapeTarget
from suites.observability.test_telemetry_is_fresh import (
    INTERVAL_SECONDS,
    NOBODYS,
    Seen,
    scraped,
    without_memory,
)


def target(*, error: str = "", interval_seconds: float | None = None) -> ScrapeTarget:
    return ScrapeTarget(labels={}, url="", interval_seconds=interval_seconds, error=error)


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(requests_total[1h]))",
        "max_over_time(temperature[1d])",
        "last_over_time(temperature[2m])",
        'temperature{room="[1d]"}',
        "temperature offset 1d",
    ],
)
def test_window_that_says_so_is_no_memory(expression: str) -> None:
    assert without_memory(RecordingRule("kept", expression), 120) == expression


@pytest.mark.parametrize(
    ("expression", "fresh"),
    [
        ("last_over_time(temperature[1h])", "last_over_time(temperature[120s])"),
        ("max(last_over_time((a + b)[1w2d:1m]))", "max(last_over_time((a + b)[120s:1m]))"),
        ("last_over_time(temperature[1y])", "last_over_time(temperature[120s])"),
        ("temperature or kept", f"temperature or {NOBODYS}"),
        ("a:kept or kept or kept:a", f"a:kept or {NOBODYS} or kept:a"),
    ],
)
def test_last_value_and_own_answer_are_memory(expression: str, fresh: str) -> None:
    assert without_memory(RecordingRule("kept", expression), 120) == fresh


def test_source_without_a_young_sample_is_silent_and_says_why() -> None:
    sources = {("a", "1"): target(), ("a", "2"): target(error="refused"), ("b", "1"): target()}

    seen = Seen(sources, {("a", "1"), ("gone", "1")}, set(), {})

    assert seen.silent == {"a/2": "refused", "b/1": "it answers, and tells nothing new"}


def test_source_that_has_nothing_to_tell_is_not_silent() -> None:
    assert not Seen({("a", "1"): target()}, set(), {("a", "1")}, {}).silent


def test_interval_is_the_longest_or_the_usual_one() -> None:
    known = {("a", "1"): target(interval_seconds=5), ("b", "1"): target(interval_seconds=60)}

    assert Seen(known, set(), set(), {}).interval_seconds == 60
    assert Seen({("a", "1"): target()}, set(), set(), {}).interval_seconds == INTERVAL_SECONDS


def test_what_a_job_told_is_neither_prometheus_own_nor_a_rule_s() -> None:
    [series] = scraped({("a", "1"): 0, ("a", "2"): 0}, [RecordingRule("r", "x")])

    assert series == '{job="a",__name__!~"up|scrape_.+|ALERTS|ALERTS_FOR_STATE|r"}'
