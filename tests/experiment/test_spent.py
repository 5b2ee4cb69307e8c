"""Where the time to recovery went: each part ends at a moment that was observed."""

from dataclasses import replace

from hotfire.experiment.spent import spent
from hotfire.measure.history import Request
from hotfire.measure.parts import PARTS
from hotfire.measure.recovery import Recovery
from tests.experiment.test_judgement import INJECTED, event, record, rows

FAILING = rows(bad=range(60, 64))


def parts(
    *events: object, requests: list[Request] = FAILING, took: float = 20.0
) -> dict[str, float]:
    seen = record(requests=requests)
    with_events = replace(seen, events=[*seen.events, *events])  # type: ignore[list-item]
    found = with_events.recovery()
    assert found is not None
    recovery: Recovery = replace(found, recovered_from_injection_seconds=took)
    return {name: round(seconds, 1) for name, seconds in spent(with_events, recovery).items()}


def ready(count: int, second: float) -> object:
    return event("ready-endpoints", second, ready=count)


def started(second: float) -> object:
    return event("engine-started", second)


def test_every_part_ends_where_its_moment_was_seen_and_the_sum_is_the_recovery() -> None:
    seen = (ready(2, 10), ready(1, INJECTED + 1), started(INJECTED + 6), ready(2, INJECTED + 15))

    found = parts(*seen)

    assert found == {
        "detection": 1.0, "routing": 2.8, "restart": 2.2, "loading": 9.0, "settling": 5.0,
    }  # fmt: skip
    assert list(found) == list(PARTS)
    assert sum(found.values()) == 20.0


def test_time_of_a_moment_nobody_saw_belongs_to_the_next() -> None:
    assert parts() == {"routing": 3.8, "settling": 16.2}
    assert parts(started(INJECTED + 10), requests=rows()) == {"restart": 10.0, "settling": 10.0}


def test_what_comes_after_the_recovery_is_no_part_of_it() -> None:
    seen = (ready(2, 10), ready(1, INJECTED + 1), started(INJECTED + 30), ready(2, INJECTED + 50))

    assert parts(*seen, took=10.0) == {"detection": 1.0, "routing": 2.8, "settling": 6.2}


def test_endpoints_that_flap_are_back_when_they_stay() -> None:
    seen = (ready(2, 10), ready(1, INJECTED + 1), ready(2, INJECTED + 5), ready(1, INJECTED + 6),
            ready(2, INJECTED + 12))  # fmt: skip

    assert parts(*seen, requests=rows())["loading"] == 11.0


def test_users_who_noticed_nothing_have_no_parts() -> None:
    assert parts(took=0.0) == {}
