"""Causes are told in words, whatever layer they came through."""

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from hotfire import causes
from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus


class Refusing(BaseHTTPRequestHandler):
    """Answers with the status in its path."""

    def do_GET(self) -> None:
        status = int(self.path.split("/")[1])
        data = b"<html>" if status == 200 else json.dumps({"error": "parse error"}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "answered 401 Unauthorized, it wants credentials"),
        (403, "answered 403 Forbidden, these credentials may not"),
        (404, "answered 404 Not Found, there is no such page"),
        (422, "answered 422 Unprocessable .*parse error"),
        (200, "no JSON"),
    ],
)
def test_what_a_prometheus_answers_instead_is_told(status: int, why: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{status}"

        with pytest.raises(HarnessError, match=why):
            Prometheus(url).query("up")
        server.shutdown()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (TimeoutError("timed out"), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "the name does not resolve"),
        (ValueError("x" * 999), "x" * 200),
        (ValueError(), "ValueError"),
    ],
)
def test_an_exception_tells_its_cause(error: Exception, why: str) -> None:
    assert causes.of_error(error).startswith(why)
    outer = HarnessError("cannot")
    outer.__cause__ = error
    if "x" not in why and why != "ValueError":
        assert causes.of_error(outer).startswith(why)


def test_a_status_that_has_no_name_is_told_by_its_number() -> None:
    assert causes.of_status(599) == "answered 599"
