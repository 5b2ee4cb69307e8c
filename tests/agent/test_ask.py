"""Straight from an engine: who writes, who only answers, who is silent, and what it counts."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hotfire.agent import ask
from hotfire.agent.host import OperationError

REPLIES = {
    "writes": (200, json.dumps({"choices": [{"text": "x"}]})),
    "empty": (200, json.dumps({"choices": []})),
    "page": (200, "<h1>It works</h1>"),
    "refuses": (503, json.dumps({"choices": [{}]})),
}


class Engine(BaseHTTPRequestHandler):
    """Answers as the model is called that it is asked for."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, text = REPLIES[asked["model"]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"# TYPE running gauge\nrunning 3\nwaiting 1\n")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def asked(port: int, model: str = "writes", address: str = "127.0.0.1") -> dict[str, object]:
    order = {"address": address, "port": port, "model": model, "within_seconds": 0.5}
    return ask.engine(order)


@pytest.mark.parametrize(
    ("model", "status", "wrote"),
    [("writes", 200, True), ("empty", 200, False), ("page", 200, False), ("refuses", 503, False)],
)
def test_only_a_token_in_a_good_answer_counts(
    port: int, model: str, status: int, wrote: bool
) -> None:
    assert asked(port, model) == {"status": status, "wrote": wrote, "said": ""}


def test_who_accepts_and_never_answers_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = asked(listening.getsockname()[1])

    assert found["status"] is None
    assert "timed out" in str(found["said"])


def test_who_does_not_listen_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert "Refused" in str(asked(port)["said"])


def test_a_name_is_no_address(port: int) -> None:
    with pytest.raises(OperationError, match="address"):
        asked(port, address="localhost")


def metrics(port: int, name: str = "running") -> dict[str, object]:
    order = {"address": "127.0.0.1", "port": port, "names": [name], "within_seconds": 0.5}
    return ask.metrics(order)


@pytest.mark.parametrize(("name", "lines"), [("running", ["running 3"]), ("speed", [])])
def test_only_the_series_that_is_asked_for_is_told(port: int, name: str, lines: list[str]) -> None:
    assert metrics(port, name) == {"lines": lines}


def test_who_tells_no_metrics_is_an_error(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "_METRICS_PATH", "/elsewhere")
    with pytest.raises(OperationError, match="HTTP 404"):
        metrics(port)

    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(OperationError, match="timed out"),
    ):
        metrics(silent.getsockname()[1])


def test_any_status_is_an_answer_that_takes_its_time(port: int) -> None:
    order = {"address": "127.0.0.1", "port": port, "times": 3, "within_seconds": 2}

    found = ask.timed(order)["seconds"]

    assert len(found) == 3
    assert all(0 < seconds < 2 for seconds in found)


def test_where_nobody_answers_there_is_no_time_to_tell() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = {"address": "127.0.0.1", "port": listening.getsockname()[1]}

        with pytest.raises(OperationError, match="does not answer"):
            ask.timed({**place, "times": 2, "within_seconds": 0.2})
