"""The reactor reports each request once, under the class of what really happened."""

import gc
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hotfire.measure.history import FailureClass, Request, checked
from hotfire.traffic.wire.answer import AnswerParser
from hotfire.traffic.wire.clock import Anchor
from hotfire.traffic.wire.connections import make_room
from hotfire.traffic.wire.orders import Order
from hotfire.traffic.wire.reactor import Reactor
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.waiting import until
from tests.engine_process import DEADLINE_SECONDS, EngineProcess
from tests.readers import KITS


@pytest.fixture(params=KITS, ids=lambda kit: kit.name, autouse=True)
def either_reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotfire.traffic.wire.reactor.implementation", lambda _: request.param)


class Driver:
    """A reactor in a thread, and what it reported."""

    def __init__(self, plan: LoadPlan, addresses: list[tuple[str, int]]) -> None:
        self.rows: list[Request] = []
        now = time.monotonic_ns()
        self.reactor = Reactor(
            plan, self.rows.append, addresses=addresses, anchor=Anchor.now(), start_ns=now
        )
        self.thread = threading.Thread(target=self.reactor.run, daemon=True)
        self.thread.start()

    def send(self, count: int = 1) -> None:
        for _ in range(count):
            seq = self.reactor.submitted
            self.reactor.submit(Order(seq, time.monotonic_ns(), seq))

    def finish(self) -> list[Request]:
        """Return every row once nothing is in flight."""
        until(
            lambda: not self.reactor.busy, within_seconds=DEADLINE_SECONDS, what="the last row",
            poll_seconds=0.01,
        )  # fmt: skip
        return self.rows

    def close(self) -> None:
        self.reactor.abandon()
        self.thread.join(DEADLINE_SECONDS)
        assert not self.thread.is_alive()


@contextmanager
def driving(url: str, **values: Any) -> Iterator[Driver]:  # noqa: ANN401 - fields of the plan
    fields: dict[str, Any] = {"url": url, "model": "tiny", "max_tokens": 8}
    addresses = values.pop("addresses", None)
    plan = LoadPlan(**fields | values)
    driver = Driver(plan, addresses or [plan.address])
    try:
        yield driver
    finally:
        driver.close()


def one(url: str, **values: Any) -> Request:  # noqa: ANN401 - fields of the plan
    with driving(url, **values) as driver:
        driver.send()
        (row,) = driver.finish()
    return checked(row)


def test_a_complete_request_has_every_stamp(engine: EngineProcess) -> None:
    row = one(engine.url)

    truth = engine.truth()["records"][-1]
    assert row.complete
    assert (row.n_out, row.token_source, row.finish_reason) == (8, "usage", "length")
    assert (row.served_by, row.status) == ("engine-0", 200)
    assert len(row.gaps_us) == 7
    assert row.first_ns is not None
    assert row.last_ns is not None
    # Both clocks are this machine's, so nothing is read before it was written.
    assert row.first_ns >= truth["first_ns"] - 1_000_000
    assert row.last_ns >= truth["last_ns"] - 1_000_000


# Limits far apart, so that a slow machine cannot turn one class into another.
SHORT, LONG = 0.5, 60.0


@pytest.mark.parametrize(
    ("misbehaviour", "values", "kind"),
    [
        ("refuse", {}, FailureClass.HTTP_503),
        ("too_many", {}, FailureClass.HTTP_429),
        ("internal_error", {}, FailureClass.HTTP_5XX),
        ("sse_error", {}, FailureClass.SSE_ERROR),
        ("truncate", {}, FailureClass.TRUNCATED_NO_DONE),
        ("fin", {}, FailureClass.FIN_MIDSTREAM),
        ("rst", {}, FailureClass.RESET_MIDSTREAM),
        ("invalid_json", {}, FailureClass.MALFORMED),
        ("no_output", {}, FailureClass.MALFORMED),
        ("no_finish_reason", {}, FailureClass.MALFORMED),
        ("mute", {"ttft_seconds": SHORT, "deadline_seconds": LONG}, FailureClass.HEADER_TIMEOUT),
        ("mute", {"deadline_seconds": SHORT}, FailureClass.DEADLINE),
        (
            "no_first_token",
            {"ttft_seconds": SHORT, "deadline_seconds": LONG},
            FailureClass.TTFT_TIMEOUT,
        ),
        ("hang", {"stall_seconds": SHORT, "deadline_seconds": LONG}, FailureClass.STALL_TIMEOUT),
        ("hang", {"deadline_seconds": 1.0, "stall_seconds": LONG}, FailureClass.DEADLINE),
    ],
)
def test_each_wrong_ending_has_its_class(
    engine: EngineProcess, misbehaviour: str, values: dict[str, float], kind: FailureClass
) -> None:
    engine.script(misbehaviour=misbehaviour)

    row = one(engine.url, **values)

    assert row.error_class is kind
    assert row.end_ns is not None


@pytest.mark.parametrize(
    "misbehaviour",
    ["ok", "no_role", "comments", "reasoning", "unframed", "multi_token", "no_usage", "stall"],
)
def test_what_is_unusual_but_whole_is_complete(engine: EngineProcess, misbehaviour: str) -> None:
    engine.script(misbehaviour=misbehaviour, stall_seconds=0.3)

    assert one(engine.url).error_class is None


def test_tokens_are_never_guessed_from_chunks(engine: EngineProcess) -> None:
    engine.script(misbehaviour="no_usage")

    row = one(engine.url)

    assert (row.n_out, row.token_source, len(row.gaps_us)) == (None, "chunks", 7)


def test_a_stream_cut_in_the_middle_keeps_what_was_read(engine: EngineProcess) -> None:
    engine.script(misbehaviour="rst")

    row = one(engine.url)

    assert row.stream_lost
    assert len(row.gaps_us) == 3


def test_reuse_keeps_one_connection_and_fresh_opens_one_each(engine: EngineProcess) -> None:
    for connection, expected in (("reuse", [False, True, True]), ("fresh", [False] * 3)):
        with driving(engine.url, connection=connection) as driver:
            for _ in range(3):
                driver.send()
                driver.finish()
        assert [row.conn_reused for row in driver.rows] == expected
        assert [row.connect_ns is None for row in driver.rows] == expected


def test_a_connection_closed_under_a_reused_request_is_stale(engine: EngineProcess) -> None:
    engine.script(misbehaviour="stale")

    with driving(engine.url) as driver:
        driver.send()
        driver.finish()
        driver.send()
        rows = driver.finish()

    assert [row.error_class for row in rows] == [None, FailureClass.STALE_KEEPALIVE]


def test_requests_at_once_do_not_wait_for_each_other(engine: EngineProcess) -> None:
    with driving(engine.url) as driver:
        driver.send(50)
        rows = driver.finish()

    assert sorted(row.seq for row in rows) == list(range(50))
    assert all(row.complete for row in rows)


def test_beyond_the_cap_nothing_is_sent_and_nothing_is_delayed(engine: EngineProcess) -> None:
    engine.script(misbehaviour="stall", stall_seconds=1.0)

    with driving(engine.url, in_flight_cap=2) as driver:
        driver.send(5)
        rows = driver.finish()

    assert [row.error_class for row in rows].count(FailureClass.NOT_SENT) == 3
    assert all(row.send_ns is None for row in rows if not row.sent)


def test_what_is_abandoned_is_censored(engine: EngineProcess) -> None:
    engine.script(misbehaviour="mute")

    with driving(engine.url) as driver:
        driver.send(3)
        until(lambda: driver.reactor.in_flight == 3, within_seconds=10, what="three in flight")

    assert [row.censored for row in driver.rows] == [True] * 3
    assert not any(row.complete or row.failed for row in driver.rows)


def filled(listener: socket.socket) -> list[socket.socket]:
    """Return connections that fill a listener's queue: the next one gets no answer."""
    waiting = [socket.socket() for _ in range(4)]
    for client in waiting:
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    return waiting


def test_a_refused_connection_is_a_connect_failure() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        row = one(f"http://127.0.0.1:{unused.getsockname()[1]}")

    assert row.error_class is FailureClass.CONNECT
    assert row.send_ns is None
    assert "refused" in row.detail


def test_a_connection_that_never_comes_is_a_connect_failure() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = filled(full)

        row = one(f"http://127.0.0.1:{full.getsockname()[1]}", connect_seconds=0.3)

        for client in waiting:
            client.close()
    assert row.error_class is FailureClass.CONNECT


def test_the_next_address_is_tried_when_one_refuses_or_keeps_silent(
    engine: EngineProcess,
) -> None:
    with socket.socket() as refusing, socket.socket() as full:
        refusing.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.create_connection(full.getsockname())]
        addresses = [refusing.getsockname(), full.getsockname(), ("127.0.0.1", engine.port)]

        with driving(engine.url, addresses=addresses, connect_seconds=1.5) as driver:
            driver.send()
            (row,) = driver.finish()

    assert row.complete
    assert (row.connect_ns or 0) >= 500_000_000
    assert len(waiting) == 1


@contextmanager
def scripted_socket(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve each connection with a function of its own socket."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(65_536)
                answer(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


WHOLE = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
KEPT = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(WHOLE), WHOLE)


def test_a_connection_the_peer_closed_while_idle_is_not_used_again() -> None:
    with scripted_socket(lambda client: client.sendall(KEPT)) as url, driving(url) as driver:
        for _ in range(3):
            driver.send()
            driver.finish()
            # The peer closes right after its answer; wait until the reactor has seen it.
            until(lambda: not driver.reactor._connections, within_seconds=10, what="the close seen")

    assert [(row.complete, row.conn_reused) for row in driver.rows] == [(True, False)] * 3


def test_the_close_of_a_connection_is_not_taken_for_news_of_the_next_one(
    engine: EngineProcess,
) -> None:
    """Order and close come in one round; the new socket gets the old one's number."""
    rows: list[Request] = []
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        first.listen(0)
        plan = LoadPlan(url=engine.url, model="tiny", connect_seconds=0.6, deadline_seconds=5)
        now = time.monotonic_ns()
        reactor = Reactor(
            plan, rows.append, addresses=[first.getsockname(), ("127.0.0.1", engine.port)],
            anchor=Anchor.now(), start_ns=now,
        )  # fmt: skip
        reactor.submit(Order(0, now, 0))
        reactor.turn()
        with first.accept()[0] as client:
            reactor.turn()
            client.recv(65_536)
            client.sendall(KEPT)
            while reactor.busy:
                reactor.turn()
            reactor.turn()  # the kernel tells of the connection again before it lets it be
            waiting = filled(first)
            reactor.submit(Order(1, time.monotonic_ns(), 1))
        while reactor.busy:
            reactor.turn()
        reactor.abandon()
        reactor.run()

    assert [(row.error_class, row.conn_reused) for row in rows] == [(None, False)] * 2
    assert (rows[1].connect_ns or 0) >= 300_000_000
    assert len(waiting) == 4


def test_silence_and_a_close_before_any_answer_is_no_answer() -> None:
    with scripted_socket(lambda _: None) as url:
        row = one(url)

    assert row.error_class is FailureClass.FIN_MIDSTREAM
    assert row.headers_ns is None
    assert not row.stream_lost


def test_what_is_not_http_is_malformed() -> None:
    with scripted_socket(lambda client: client.sendall(b"SSH-2.0-x\r\n")) as url:
        assert one(url).error_class is FailureClass.MALFORMED


def test_a_refusal_whose_body_is_cut_is_still_that_refusal() -> None:
    answer = b"HTTP/1.1 503 No\r\ncontent-length: 100\r\n\r\nno healthy upstream"
    with scripted_socket(lambda client: client.sendall(answer)) as url:
        assert one(url).error_class is FailureClass.HTTP_503


def test_rows_before_the_warm_up_ends_say_so(engine: EngineProcess) -> None:
    assert one(engine.url, warmup_seconds=100).phase == "warmup"
    assert one(engine.url).phase == "steady"


def test_the_instrument_measures_itself(engine: EngineProcess) -> None:
    with driving(engine.url) as driver:
        driver.send(3)
        driver.finish()
        until(lambda: driver.reactor.measured.lag_us, within_seconds=10, what="a tick")

    assert len(driver.reactor.measured.lateness_us) == 3


def test_an_answer_that_has_ended_needs_no_collection(engine: EngineProcess) -> None:
    gc.collect()
    gc.disable()
    try:
        with driving(engine.url) as driver:
            driver.send(20)
            driver.finish()
        kept = [one for one in gc.get_objects() if isinstance(one, AnswerParser)]
    finally:
        gc.enable()

    assert kept == []


def files_room() -> int:
    """Return how many open files the kernel keeps room for in this process."""
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "FDSize" in one]
    return int(line.split()[1])


def test_room_for_every_connection_is_there_before_the_first_request(
    engine: EngineProcess,
) -> None:
    room, (most, _) = files_room(), resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 4 * room:
        pytest.skip(f"{most} open files are permitted, and there is room for {room}")

    with driving(engine.url, in_flight_cap=2 * room):
        assert files_room() > 2 * room


def test_a_limit_of_open_files_is_no_reason_to_break() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, limits[1]))
    try:
        make_room(0, 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
