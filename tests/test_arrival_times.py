"""The times of a stream are those at which its bytes arrived, however late they are read."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from hotfire.measure.history import Request, checked
from hotfire.traffic.wire.clock import Anchor, clock_offset_ns
from hotfire.traffic.wire.orders import Order
from hotfire.traffic.wire.reactor import Reactor
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.waiting import pause
from tests.readers import KITS

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" a"},"finish_reason":null}]}\n\n'
LAST = EVENT.replace(b"null", b'"stop"') + b"data: [DONE]\n\n"
LATE_SECONDS = 0.2


@pytest.fixture(params=KITS, ids=lambda kit: kit.name, autouse=True)
def either_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotfire.traffic.wire.reactor.implementation", lambda _: request.param)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def read_late(listener: socket.socket, rows: list[Request]) -> list[int]:
    """Let a reactor stand still while an answer comes; return when the answer was written."""
    address: tuple[str, int] = listener.getsockname()
    plan = LoadPlan(url=f"http://127.0.0.1:{address[1]}", model="m", duration_seconds=1)
    now = time.monotonic_ns()
    reactor = Reactor(plan, rows.append, addresses=[address], anchor=Anchor.now(), start_ns=now)
    reactor.submit(Order(0, now, 0))
    reactor.turn()
    client, _ = listener.accept()
    reactor.turn()
    written = []
    for data in (HEAD + EVENT, LAST):
        written.append(time.time_ns())
        client.sendall(data)
        pause(LATE_SECONDS, why="the reactor is to read late")
        reactor.turn()
    client.close()
    while reactor.busy:
        reactor.turn()
    reactor.abandon()
    reactor.run()
    return written


def test_a_token_that_is_read_late_has_the_time_of_its_arrival(listener: socket.socket) -> None:
    rows: list[Request] = []
    first, last = read_late(listener, rows)
    assert rows[0].first_ns is not None
    assert rows[0].last_ns is not None
    assert 0 <= rows[0].first_ns - first < LATE_SECONDS * 1e9 / 2
    assert 0 <= rows[0].last_ns - last < LATE_SECONDS * 1e9 / 2


@pytest.mark.parametrize("step_seconds", [-3600, 3600])
def test_a_step_of_the_clock_leaves_the_times_of_a_stream_in_order(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, step_seconds: int
) -> None:
    offset, rows = clock_offset_ns() - step_seconds * 10**9, list[Request]()
    monkeypatch.setattr("hotfire.traffic.wire.reactor.clock_offset_ns", lambda: offset)
    read_late(listener, rows)
    row = rows[0]
    times = [row.send_ns, row.headers_ns, row.first_ns, row.last_ns, row.end_ns, time.time_ns()]
    assert times == sorted(time_ns or 0 for time_ns in times)


def test_a_small_step_of_the_clock_puts_no_token_before_its_headers(
    listener: socket.socket,
) -> None:
    rows: list[Request] = []
    address: tuple[str, int] = listener.getsockname()
    plan = LoadPlan(url=f"http://127.0.0.1:{address[1]}", model="m", duration_seconds=1)
    now = time.monotonic_ns()
    reactor = Reactor(plan, rows.append, addresses=[address], anchor=Anchor.now(), start_ns=now)
    reactor.submit(Order(0, now, 0))
    reactor.turn()
    client, _ = listener.accept()
    reactor.turn()
    client.recv(65_536)
    (connection,) = reactor._connections
    exchange = connection.exchange
    assert exchange is not None
    # Headers that come while the loop waits are later than the beginning of that wait.
    threading.Timer(0.003, client.sendall, [HEAD]).start()
    while exchange.answer.headers_ns is None:
        reactor.turn()

    reactor._reader.epoch_ns += 2_000_000  # as a sweep does that sees the clock stepped forward
    client.sendall(EVENT + LAST)
    client.close()
    while reactor.busy:
        reactor.turn()
    reactor.abandon()
    reactor.run()

    assert checked(rows[0]).complete
