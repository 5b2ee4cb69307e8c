"""Whatever a peer sends, an exchange ends in time, in little memory, and with a reason."""

import errno
import gzip
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hotfire import Endpoint, bounded
from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus
from hotfire.traffic.witnesses.witness import Silence, engine_at
from tests.hostile_peer import Pieces, answering

DEADLINE_SECONDS = 0.6
OK = b"HTTP/1.1 200 OK\r\n"


def drip(head: bytes, again: bytes) -> Pieces:
    def pieces() -> Iterator[bytes | float]:
        yield head
        while True:
            yield again
            yield 0.05

    return pieces


def flood(head: bytes, again: bytes) -> Pieces:
    def pieces() -> Iterator[bytes]:
        yield head
        while True:
            yield again

    return pieces


def once(*parts: bytes) -> Pieces:
    def pieces() -> Iterable[bytes]:
        return parts

    return pieces


SLOW = {
    "a header": drip(OK + b"x-a: ", b"a"),
    "interim answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": drip(OK + b"\r\n", b"d"),
    "nothing": drip(b"", b""),
}
LARGE = {
    "an endless body": flood(OK + b"\r\n", b"a" * 65536),
    "chunks": flood(OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 10_000),
    "header lines": once(OK + b"a: b\r\n" * 1000 + b"\r\n"),
}


@pytest.mark.parametrize("pieces", SLOW.values(), ids=SLOW.keys())
def test_an_exchange_ends_at_its_deadline_however_slowly_it_goes_on(pieces: Pieces) -> None:
    began = time.monotonic()
    with answering(pieces) as url:
        page = bounded.get(url, deadline_seconds=DEADLINE_SECONDS)

    assert page.error == "deadline: no whole answer within 0.6 s"
    assert time.monotonic() - began < DEADLINE_SECONDS + 1


@pytest.mark.parametrize("pieces", LARGE.values(), ids=LARGE.keys())
def test_an_answer_without_end_is_read_to_its_limit(pieces: Pieces) -> None:
    with answering(pieces) as url:
        page = bounded.get(url, deadline_seconds=20, wire_bytes=1 << 17)

    assert (page.error or "").startswith("size: ")
    assert len(page.content) <= 1 << 17


def test_what_was_packed_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(1 << 20))
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with answering(once(head, packed)) as url:
        page = bounded.get(url, deadline_seconds=5)

    assert page.content == packed
    assert page.error == "encoding: gzip, though identity was asked for"


def test_a_redirect_is_an_answer_and_not_an_order() -> None:
    with answering(once(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n")) as url:
        page = bounded.get(url, deadline_seconds=5)

    assert (page.status, page.error) == (302, None)


def test_an_address_where_nobody_listens_is_a_reason() -> None:
    assert (bounded.get("http://127.0.0.1:1", deadline_seconds=5).error or "").startswith("connect")


def test_a_document_of_too_many_values_is_no_document() -> None:
    with pytest.raises(ValueError, match="more than 500,000 values"):
        bounded.json_of("[" + "{}," * 300_000 + "{}]")


@pytest.mark.parametrize("pieces", [*SLOW.values(), *LARGE.values()], ids=[*SLOW, *LARGE])
def test_every_reader_of_a_peer_gives_up_in_words(pieces: Pieces) -> None:
    began = time.monotonic()
    with answering(pieces) as url:
        reply = Endpoint(url, "tiny", deadline_seconds=DEADLINE_SECONDS).chat("Hi.")
        scrape = engine_at(url, within_seconds=DEADLINE_SECONDS)()
        with pytest.raises(HarnessError, match=r"deadline|size"):
            Prometheus(url, within_seconds=DEADLINE_SECONDS).query("up")

    assert not reply.ok
    assert reply.error
    assert isinstance(scrape, Silence)
    assert time.monotonic() - began < 3 * DEADLINE_SECONDS + 5


@pytest.mark.parametrize(
    "text", ['{"data": 1}', "[]", '{"data": {"result": [{"metric": {"a": "b"}}]}}', "\xff"]
)
def test_a_prometheus_of_another_shape_is_a_reason(text: str) -> None:
    body = text.encode("latin-1")
    head = OK + b"content-length: %d\r\n\r\n" % len(body)
    with answering(once(head, body)) as url, pytest.raises(HarnessError, match="Prometheus at"):
        Prometheus(url, within_seconds=5).query("up")


def test_a_password_of_prometheus_is_sent_and_told_to_nobody() -> None:
    address = "http://me:hunter2hunter2@127.0.0.1:1"

    with pytest.raises(HarnessError) as caught:
        Prometheus(address, within_seconds=1).query("up")

    assert "hunter2" not in str(caught.value)


class Kept(BaseHTTPRequestHandler):
    """Answers at once, with the port that it was asked from, and keeps the connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        port = str(self.client_address[1]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(port)))
        self.end_headers()
        self.wfile.write(port)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def kept() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kept)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_threads_that_share_a_reader_never_lose_a_connection_to_each_other(kept: str) -> None:
    usual = sys.getswitchinterval()
    reader = bounded.Reader(kept, deadline_seconds=20, kept_alive=3)
    # Threads that take turns this often meet the seldom moments.
    sys.setswitchinterval(1e-5)
    try:
        with reader, ThreadPoolExecutor(12) as pool:
            pages = list(pool.map(lambda _: reader.ask("GET", "/"), range(2_000)))
    finally:
        sys.setswitchinterval(usual)

    assert [page.error for page in pages if page.error] == []


def test_a_connection_is_used_again_by_who_comes_next(kept: str) -> None:
    with bounded.Reader(kept, deadline_seconds=5, kept_alive=1) as reader:
        first, second = (reader.ask("GET", "/").content for _ in range(2))
    with bounded.Reader(kept, deadline_seconds=5) as reader:
        third, fourth = (reader.ask("GET", "/").content for _ in range(2))

    assert first == second
    assert third != fourth


def test_a_connection_that_ended_between_two_requests_is_replaced_and_a_new_one_is_not() -> None:
    whole = OK + b"content-length: 2\r\n\r\nok"
    with (
        answering(once(whole)) as url,
        bounded.Reader(url, deadline_seconds=5, kept_alive=1) as one,
    ):
        pages = [one.ask("GET", "/") for _ in range(3)]
    with answering(once()) as url, bounded.Reader(url, deadline_seconds=5, kept_alive=1) as one:
        lost = one.ask("GET", "/")

    assert [page.content for page in pages] == [b"ok"] * 3
    assert lost.status is None
    assert str(lost.error).startswith("protocol: ")


def test_a_trouble_of_this_machine_is_no_answer_of_the_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", refuse)

    with pytest.raises(HarnessError, match="this side"):
        bounded.get("http://127.0.0.1:9", deadline_seconds=1)
