"""Where the time of a case goes: the outermost purpose counts, and no other thread's."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotfire.time_spent import Ledger, ledger, taking
from hotfire.waiting import eventually, of_target, pause


def purposes(noted: Ledger) -> list[tuple[object, object, object]]:
    return [(one["kind"], one["what"], one["times"]) for one in noted.entries()]


def test_waits_and_pauses_say_what_for() -> None:
    def come() -> bool:
        return False

    with ledger() as noted:
        of_target(lambda: False, within_seconds=0.2, what="engines Ready")
        pause(0.1, why="the probes' period")
        eventually(come, within_seconds=0.06, poll_seconds=0.01)

    assert purposes(noted) == [
        ("wait", "engines Ready", 1),
        ("pause", "the probes' period", 1),
        ("wait", "come", 1),
    ]
    assert noted.entries()[0]["seconds"] == pytest.approx(0.2, abs=0.1)


def test_what_lies_within_a_wait_is_the_waits() -> None:
    def asked() -> bool:
        with taking("API call", "GET"):
            time.sleep(0.1)  # noqa: TID251 - a call that takes its time
        return True

    with ledger() as noted:
        of_target(asked, within_seconds=1, what="it")

    assert purposes(noted) == [("wait", "it", 1)]


def test_another_thread_takes_nothing() -> None:
    with ledger() as noted, ThreadPoolExecutor(1) as pool:
        pool.submit(pause, 0.1, why="beside").result()

    assert noted.entries() == []


def test_short_ones_are_one_entry_without_a_purpose() -> None:
    noted = Ledger()
    noted.add("request", "GET /v1/models", 0.01)
    noted.add("request", "GET /metrics", 0.02)
    noted.add("request", "POST /v1/completions", 0.04)
    noted.add("request", "POST /v1/completions", 0.04)

    assert noted.entries() == [
        {"kind": "request", "what": "POST /v1/completions", "seconds": 0.08, "times": 2},
        {"kind": "request", "what": "", "seconds": 0.03, "times": 2},
    ]


def test_without_a_ledger_nothing_is_noted() -> None:
    with ledger() as noted:
        pass
    pause(0.06, why="afterwards")

    assert noted.entries() == []
