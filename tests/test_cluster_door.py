"""Each question to the API's address is a connection of its own, and any answer is told."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest
from kubernetes import client as k8s

from hotfire.cluster import Door
from hotfire.errors import ClusterError
from tests.ports import free_port

HANG = 0


class Server(ThreadingHTTPServer):
    """An API server that says one thing of its readiness; ``HANG``: nothing."""

    says = 200
    connections = 0
    over = Event()


class Readiness(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        if self.server.says == HANG:
            self.server.over.wait(20)
            return
        self.send_response(self.server.says)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Readiness) as listening:
        listening.over = Event()
        Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        yield listening
        listening.over.set()
        listening.shutdown()


def door(port: int) -> Door:
    return Door(k8s.Configuration(host=f"http://127.0.0.1:{port}"))


def test_ready_server_is_no_trouble_and_has_a_connection_a_question(server: Server) -> None:
    asked = door(server.server_port)

    assert [asked.trouble(within_seconds=5) for _ in range(3)] == ["", "", ""]
    assert server.connections == 3


def test_server_that_is_not_ready_is_trouble(server: Server) -> None:
    server.says = 500

    assert door(server.server_port).trouble(within_seconds=5) == "/readyz says 500"


def test_who_may_not_ask_cannot_tell(server: Server) -> None:
    server.says = 403

    with pytest.raises(ClusterError, match="403: we may not ask"):
        door(server.server_port).trouble(within_seconds=5)


def test_silence_and_nobody_are_trouble(server: Server) -> None:
    server.says = HANG

    assert door(server.server_port).trouble(within_seconds=0.2).startswith("no answer")
    assert door(free_port()).trouble(within_seconds=5).startswith("no answer")
