"""Idle times are read from what the peers print, and judged by who closes first."""

import json

import pytest

from hotfire import idle_times
from hotfire.idle_times import IdleTime, plan_waves


def line(connection: int, event: str, **facts: object) -> dict[str, object]:
    return {"peer": "10.0.0.1:8000", "connection": connection, "event": event, **facts}


def kept(*closed_seconds: float, still_open: int = 0, announced: int = 0) -> IdleTime:
    return IdleTime(
        closed_seconds=closed_seconds,
        still_open=still_open,
        announced=announced,
        watched_seconds=45.0,
    )


def test_a_connection_is_open_until_its_close_is_told() -> None:
    seen = [line(1, "idle"), line(2, "idle"), line(1, "idle"), line(1, "closed", idle_seconds=5.0)]

    found = idle_times.idle_time(seen, watched_seconds=7.0)

    assert (found.closed_seconds, found.still_open, found.announced) == ((5.0,), 1, 0)


def test_an_announced_close_is_none_that_anybody_could_meet() -> None:
    seen = [line(1, "idle"), line(1, "announced")]

    found = idle_times.idle_time(seen, watched_seconds=7.0)

    assert (found.still_open, found.announced, found.seconds) == (0, 1, None)
    assert "announces" in str(found)


def test_peers_are_told_apart() -> None:
    other = {**line(2, "idle"), "peer": "10.0.0.2:8000"}

    found = idle_times.by_peer([line(1, "idle"), other], watched_seconds=7.0)

    assert {peer: one.still_open for peer, one in found.items()} == {
        "10.0.0.1:8000": 1,
        "10.0.0.2:8000": 1,
    }


def test_only_events_are_read_from_a_log() -> None:
    log = '{"listening": 8080}\n' + json.dumps(line(1, "idle")) + "\n"

    assert idle_times.events(log) == [line(1, "idle")]


def test_a_log_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        idle_times.events("Traceback (most recent call last):")


@pytest.mark.parametrize(
    ("idle", "seconds", "told"),
    [
        (kept(5.0, 5.1, 5.2), 5.1, "5.1 s"),
        (kept(0.3, 30.0, 30.1), 30.0, "30.0 s"),
        (kept(0.3, still_open=3), None, "longer than 45 s"),
        (kept(still_open=4), None, "longer than 45 s"),
    ],
)
def test_an_early_close_does_not_decide(idle: IdleTime, seconds: float | None, told: str) -> None:
    assert (idle.seconds, str(idle)) == (seconds, told)


def test_the_shortest_is_known_once_one_side_has_closed() -> None:
    assert idle_times.shortest([kept(still_open=4), kept(30.0), kept(90.0)]) == 30.0
    assert idle_times.shortest([kept(still_open=4)]) is None


@pytest.mark.parametrize(
    ("engine", "gateway"),
    [
        (kept(90.0), kept(30.0)),
        (kept(still_open=4), kept(30.0)),
        (kept(still_open=4), kept(still_open=4)),
        (kept(90.0), kept(still_open=4)),
        (kept(announced=4), kept(still_open=4)),
        (kept(5.0), kept(announced=4)),
    ],
)
def test_a_gateway_that_closes_first_never_sends_into_a_close(
    engine: IdleTime, gateway: IdleTime
) -> None:
    assert idle_times.race(engine, gateway) is None


@pytest.mark.parametrize(
    ("engine", "gateway"),
    [
        (kept(5.0), kept(still_open=4)),
        (kept(5.0), kept(30.0)),
        (kept(30.0), kept(30.0)),
        (kept(30.1), kept(30.0)),
    ],
)
def test_an_engine_that_closes_first_or_as_late_is_named(
    engine: IdleTime, gateway: IdleTime
) -> None:
    reason = idle_times.race(engine, gateway)

    assert reason == f"the engine closes idle connections after {engine}, the gateway {gateway}"


@pytest.mark.parametrize("spacing", [0.5, 2.0, 5.0, 30.0, 45.0, 60.0, 99.0])
def test_waves_are_enough_requests_in_little_time(spacing: float) -> None:
    plan = plan_waves(spacing)

    count = len(plan.offsets_seconds)
    assert plan.requests >= idle_times.REQUESTS
    assert count * spacing <= 95 or count == 2


def test_half_a_minute_leaves_time_for_three_waves() -> None:
    assert len(plan_waves(30.05).offsets_seconds) == 3


def test_waves_lie_evenly_to_both_sides_of_the_idle_time() -> None:
    offsets = plan_waves(5.0).offsets_seconds

    assert len(offsets) == 8
    assert sum(offsets) == pytest.approx(0.0)
    assert all(-0.2 <= each <= 0.2 for each in offsets)
    assert max(offsets) - min(offsets) > 0.3
