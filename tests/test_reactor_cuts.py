"""An answer may end or fall silent after any byte: each time there is one row, of one class."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hotfire.answer.sse import parse
from hotfire.measure.history import FailureClass, Request, checked
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.wire.orders import Order
from hotfire.traffic.wire.reactor import Reactor
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.waiting import until
from tests.readers import KITS

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TOKEN = b'data: {"choices":[{"delta":{"content":"%c"},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
EVENTS = [TOKEN % b"a", TOKEN % b"b", TOKEN % b"c", LAST, b"data: [DONE]\n\n"]
WIRE = HEAD + b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in EVENTS) + b"0\r\n\r\n"
WITHIN_SECONDS = 30


@pytest.fixture(params=KITS, ids=lambda kit: kit.name, autouse=True)
def either_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotfire.traffic.wire.reactor.implementation", lambda _: request.param)


@contextmanager
def cutting(end: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answer the k-th connection with the first k bytes, then end it so."""
    kept: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        for size in range(len(WIRE) + 1):
            client, _ = listener.accept()
            client.recv(65_536)
            client.sendall(WIRE[:size])
            kept.append(client)
            end(client)

    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(WITHIN_SECONDS)
    for client in kept:
        client.close()


def rows(end: Callable[[socket.socket], None], **limits: float) -> list[Request]:
    """Return the row of each length of the answer, in that order."""
    found: list[Request] = []
    with cutting(end) as url:
        plan = LoadPlan(url=url, model="m", in_flight_cap=5000, connection="fresh", **limits)  # type: ignore[arg-type]
        reactor = Reactor(
            plan, found.append, addresses=[plan.address], anchor=Anchor.now(), start_ns=0
        )
        for seq in range(len(WIRE) + 1):
            reactor.submit(Order(seq, time.monotonic_ns(), seq))
        thread = threading.Thread(target=reactor.run, daemon=True)
        thread.start()
        until(lambda: not reactor.busy, within_seconds=WITHIN_SECONDS, what="every row")
        reactor.abandon()
        thread.join(WITHIN_SECONDS)
    return sorted(map(checked, found), key=lambda row: row.seq)


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def tokens(row: Request) -> int:
    return len(row.gaps_us) + (row.first_ns is not None)


def written(size: int) -> int:
    """Return the tokens in the first bytes of the answer."""
    body = b"".join(e[: max(0, size - at)] for at, e in PLACES)
    return sum(b'"content"' in event.data.encode() for event in parse(body))


def places() -> Iterator[tuple[int, bytes]]:
    at = len(HEAD)
    for event in EVENTS:
        at += len(b"%x\r\n" % len(event))
        yield at, event
        at += len(event) + 2


PLACES = list(places())


def test_a_close_after_any_byte_is_seen_with_all_that_came_before() -> None:
    seen = rows(socket.socket.close)

    assert [row.error_class for row in seen[:-1]] == [FailureClass.FIN_MIDSTREAM] * len(WIRE)
    assert seen[-1].complete
    assert [tokens(row) for row in seen] == [written(size) for size in range(len(WIRE) + 1)]


def test_a_reset_after_any_byte_is_seen_and_nothing_is_made_up() -> None:
    seen = rows(reset)

    assert {row.error_class for row in seen[:-1]} == {FailureClass.RESET_MIDSTREAM}
    assert seen[-1].error_class in (None, FailureClass.RESET_MIDSTREAM)
    assert all(tokens(row) <= written(size) for size, row in enumerate(seen))


def test_silence_after_any_byte_ends_at_its_limit() -> None:
    seen = rows(lambda _: None, ttft_seconds=3, stall_seconds=3, deadline_seconds=20)

    expected = [silent(size) for size in range(len(WIRE))]
    assert [row.error_class for row in seen] == [*expected, None]
    assert [tokens(row) for row in seen] == [written(size) for size in range(len(WIRE) + 1)]


def silent(size: int) -> FailureClass:
    if written(size):
        return FailureClass.STALL_TIMEOUT
    return FailureClass.TTFT_TIMEOUT if size >= len(HEAD) else FailureClass.HEADER_TIMEOUT


@pytest.mark.parametrize("size", [0, len(HEAD) - 1, len(WIRE) - 1])
def test_the_transcript_is_what_it_should_be(size: int) -> None:
    assert WIRE.startswith(HEAD)
    assert written(size) == (3 if size > len(HEAD) else 0)
