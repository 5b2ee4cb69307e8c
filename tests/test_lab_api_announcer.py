"""The announcer believes /readyz, not the port."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.lab.machine import pki
from hotfire.lab.programs import api_announcer


class Server(http.server.ThreadingHTTPServer):
    """An API server that answers /readyz with a status; 0: never."""

    status = 200


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        if not self.server.status:
            threading.Event().wait(3)
            return
        self.send_response(self.server.status if self.path == "/readyz" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def trust(tmp_path: Path) -> ssl.SSLContext:
    authority = pki.Authority()
    pki.write_pair(tmp_path, "api", authority.issue("api", addresses=("127.0.0.1",)))
    return ssl.create_default_context(cadata=authority.certificate.decode())


@pytest.fixture
def server(trust: ssl.SSLContext, tmp_path: Path) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "api.crt", tmp_path / "api.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (500, None), (401, None), (0, None)])
def test_only_ok_is_ready_and_anything_else_is_doubt(
    server: Server, trust: ssl.SSLContext, status: int, ready: bool | None
) -> None:
    server.status = status

    assert api_announcer.ready(server.server_address[1], trust) is ready


def test_refused_port_is_not_ready(server: Server, trust: ssl.SSLContext) -> None:
    port = server.server_address[1]
    server.shutdown()
    server.server_close()

    assert api_announcer.ready(port, trust) is False


def test_stranger_on_the_port_is_not_ready(server: Server) -> None:
    other = ssl.create_default_context(cadata=pki.Authority().certificate.decode())

    assert api_announcer.ready(server.server_address[1], other) is False
