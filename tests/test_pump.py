"""The pump shares its thread: a load that is late can still be stopped, and is heard of."""

import gc
import socket
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from hotfire.measure.history import Request
from hotfire.traffic.process.session import Session
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.workload.plan import LoadPlan

ARRIVALS = 30_000


@pytest.fixture(autouse=True)
def collections_as_before() -> Iterator[None]:
    """A session tunes the garbage collection of its process."""
    callbacks = list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.unfreeze()


def overdue(rows: list[Request], **values: Any) -> Session:  # noqa: ANN401 - fields of the plan
    """Return a session all of whose arrivals were due long ago, of which none can be served."""
    fields: dict[str, Any] = {"url": "http://127.0.0.1:9", "model": "m", "process": "constant"}
    fields |= {"rate_per_second": ARRIVALS, "duration_seconds": 1, "in_flight_cap": 1}
    plan = LoadPlan(**fields | {"nice": 0, "realtime": False} | values)
    late_ns = time.monotonic_ns() - 60 * 10**9
    return Session(plan, rows.append, anchor=Anchor.now(), t0_ns=late_ns)


def test_a_late_pump_lets_others_run_and_hears_the_stop() -> None:
    rows: list[Request] = []
    session = overdue(rows, grace_seconds=30)
    stopping = gevent.spawn(session.drain)

    finished = session.pump.run()

    stopping.get(timeout=60)
    assert not finished
    assert 0 < session.dispatched < ARRIVALS
    # What was due before the stop belongs to the plan, sent or not.
    assert session.end().planned_until_stop == ARRIVALS == len(rows)
    assert sum(row.censored for row in rows) == ARRIVALS - session.dispatched


def test_the_wait_for_the_last_answers_does_not_dilute_the_cpu_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        session = overdue([], url=url, deadline_seconds=600, grace_seconds=3)
        began, cpu = time.monotonic(), time.process_time()
        session.pump.run()
        sending = (time.process_time() - cpu) / (time.monotonic() - began)

        session.drain()

    # Of a sending that a busy machine stretches beyond five seconds, the busiest five count.
    assert 0.8 * sending < session.end().measured.cpu_ratio < 1.1


def test_others_run_while_what_was_not_sent_is_recorded() -> None:
    session = overdue([])
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.001)

    counting = gevent.spawn(count)
    session.drain()
    counting.kill()

    assert session.pump.unsent_count == ARRIVALS
    assert turns > 10
