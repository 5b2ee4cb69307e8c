"""Both ends of idle connections tell who closed, and when; over real sockets."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fixtures.beside import ON_TIME_SECONDS
from hotfire import Endpoint, Reply
from hotfire.bounded import network
from hotfire.engine import idle_peer
from hotfire.waiting import pause, until
from suites.gateway import test_idle_connections_end_in_no_error as check
from tests.engine_process import running_engine

DEADLINE_SECONDS = 20
COMMAND = [sys.executable, "-I", "-S", str(Path(idle_peer.__file__))]


@dataclass
class Backend:
    """A running ``serve`` and what it has printed so far."""

    port: int
    seen: list[dict[str, Any]] = field(default_factory=list)

    def named(self, event: str) -> list[dict[str, Any]]:
        return [one for one in self.seen if one["event"] == event]

    def wait_for(self, event: str) -> dict[str, Any]:
        found = until(lambda: self.named(event), within_seconds=DEADLINE_SECONDS, what=event)
        return found[0]

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)


@contextmanager
def backend(keep_alive_seconds: float) -> Iterator[Backend]:
    command = [*COMMAND, "serve", "--port", "0", "--name", "us"]
    command += ["--keep-alive-seconds", str(keep_alive_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = Backend(json.loads(process.stdout.readline())["listening"])
        lines = process.stdout
        reading = Thread(target=lambda: found.seen.extend(map(json.loads, lines)), daemon=True)
        reading.start()
        try:
            yield found
        finally:
            process.kill()


def ask(connection: HTTPConnection) -> bytes:
    connection.request("POST", "/v1/chat/completions", body=b'{"stream": true}')
    return connection.getresponse().read()


def watched(port: int, *, seconds: float, connections: int = 1) -> list[dict[str, Any]]:
    command = [*COMMAND, "watch", "--seconds", str(seconds)]
    command += ["--connections", str(connections), f"127.0.0.1:{port}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_patient_backend_tells_when_the_other_side_closed() -> None:
    with backend(keep_alive_seconds=0.0) as us:
        connection = us.connect()
        assert ask(connection) == ask(connection) == idle_peer.BODY
        pause(0.3, why="the connection is to be idle for a while")
        connection.close()

        assert us.wait_for("closed")["idle_seconds"] >= 0.3
        assert [one["connection"] for one in us.named("idle")] == [1, 1]


def test_a_request_that_meets_the_closing_backend_is_reset_and_told() -> None:
    with backend(keep_alive_seconds=0.2) as us:
        connection = us.connect()
        ask(connection)
        pause(0.2 + idle_peer.CLOSING_SECONDS / 2, why="the backend is to be about to close")
        with pytest.raises(OSError, match=r"[Rr]eset|without response"):
            ask(connection)

        assert us.wait_for("met")["idle_seconds"] >= 0.2


def test_a_backend_closes_what_nobody_uses() -> None:
    with backend(keep_alive_seconds=0.2) as us:
        connection = us.connect()
        ask(connection)

        assert us.wait_for("expired")["idle_seconds"] >= 0.2 + idle_peer.CLOSING_SECONDS


def test_a_probe_that_asks_nothing_is_not_told() -> None:
    with backend(keep_alive_seconds=0.0) as us:
        socket.create_connection(("127.0.0.1", us.port), timeout=DEADLINE_SECONDS).close()
        connection = us.connect()
        ask(connection)
        us.wait_for("idle")

        assert {one["connection"] for one in us.seen} == {2}


def test_the_watch_tells_when_a_server_closes_each_connection() -> None:
    with running_engine("--keep-alive-seconds", "0.5") as engine:
        seen = watched(engine.port, seconds=10, connections=3)

    closed = [one["idle_seconds"] for one in seen if one["event"] == "closed"]
    assert len(closed) == 3
    assert all(0.4 <= each < 5 for each in closed)


def test_the_watch_ends_at_its_bound_where_nobody_closes() -> None:
    with running_engine() as engine:
        started = time.monotonic()
        seen = watched(engine.port, seconds=0.5)

    assert [one["event"] for one in seen] == ["idle"]
    assert time.monotonic() - started >= 0.5


def test_the_watch_tells_a_close_that_was_announced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=answer_and_close, args=(server,), daemon=True).start()
        seen = watched(server.getsockname()[1], seconds=5)

    assert [one["event"] for one in seen] == ["idle", "announced"]


def answer_and_close(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    connection.close()


def test_the_watch_tells_that_nobody_answered() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        [only] = watched(unused.getsockname()[1], seconds=5)

    assert (only["event"], "Refused" in only["detail"]) == ("error", True)


def test_the_check_loses_requests_at_a_backend_that_closes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The client stands for a gateway here, and for one that sends nothing twice.
    monkeypatch.setattr(network, "_ended_while_idle", lambda _: False)
    with backend(keep_alive_seconds=check.HASTY_SECONDS) as us:
        with Endpoint(f"http://127.0.0.1:{us.port}", "tiny") as client:
            sent = check.send(client, check.CONTROL)

        assert not check.losses(sent.first.replies)
        assert sent.lost.total() > 0
        assert len(us.named("met")) > 0


def test_the_check_loses_nothing_at_a_backend_that_does_not_close() -> None:
    with (
        backend(keep_alive_seconds=0.0) as us,
        Endpoint(f"http://127.0.0.1:{us.port}", "tiny") as client,
    ):
        sent = check.send(client, check.CONTROL)

    assert sum(len(wave.replies) for wave in sent.others) == check.CONTROL.requests
    assert not sent.lost


def test_a_loss_is_charged_only_where_the_control_was_on_time() -> None:
    lost, whole = Reply(status=503), Reply(status=200, seconds=0.1)
    late = Reply(status=200, seconds=ON_TIME_SECONDS + 0.5)
    calm, first = check.Wave([lost], [whole], 1.0), check.Wave([whole], [], 0.0)
    stood_still = [check.Wave([lost, lost], [beside], 2.0) for beside in (late, lost)]

    sent = check.Sent(first, [calm, *stood_still])

    assert (sent.lost.total(), sent.excused.total()) == (1, 4)
