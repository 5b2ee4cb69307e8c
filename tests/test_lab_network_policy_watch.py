"""The agent's view of the cluster: all objects, every change, and no outage that ends it."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hotfire.lab.machine import pki
from hotfire.lab.programs.network_policy.watch import Api, Sink, follow
from hotfire.waiting import until

Item = dict[str, Any]


def item(name: str, version: int) -> Item:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


class Server(http.server.ThreadingHTTPServer):
    """An API server that has a list, and for each watch the next of some canned streams."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: list[Item] = []
        self.streams: list[list[Item]] = []
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "api.crt", directory / "api.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request; a stream is sent line by line, and then ends."""

    server: Server

    def do_GET(self) -> None:
        query = {key: rows[0] for key, rows in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append(query)
        self.server.tokens.append(self.headers["Authorization"])
        if "watch" in query and not self.server.streams:
            threading.Event().wait(5)  # As a quiet cluster does.
            return
        rows = self.server.streams.pop(0) if "watch" in query else [self._page(query)]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("".join(json.dumps(row) + "\n" for row in rows).encode())

    def _page(self, query: dict[str, str]) -> Item:
        return self.server.pages[int(query.get("continue", "0"))]

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    pair = (authority := pki.Authority()).issue("api", addresses=("127.0.0.1",))
    pki.write_pair(tmp_path, "api", pair)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    (tmp_path / "token").write_text("first")
    found = Server(tmp_path)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


class Told:
    """What a sink heard."""

    def __init__(self, server: Server, account: Path) -> None:
        self.lists: list[list[str]] = []
        self.changes: list[tuple[str, str]] = []
        self.stop = threading.Event()
        sink = Sink(
            replace=lambda items: self.lists.append([row["metadata"]["name"] for row in items]),
            change=lambda kind, row: self.changes.append((kind, row["metadata"]["name"])),
        )
        api = Api("127.0.0.1", server.server_address[1], account)
        threading.Thread(target=follow, args=(api, "/x", sink, self.stop), daemon=True).start()


@pytest.fixture
def told(server: Server, tmp_path: Path) -> Iterator[Told]:
    """Follow a server that pages its list of two."""
    server.pages = [
        {"items": [item("a", 1)], "metadata": {"resourceVersion": "9", "continue": "1"}},
        {"items": [item("b", 2)], "metadata": {"resourceVersion": "9"}},
    ]
    server.streams = [
        [{"type": "ADDED", "object": item("c", 10)}, {"type": "BOOKMARK", "object": item("", 15)}],
        [{"type": "DELETED", "object": item("a", 16)}],
        [{"type": "ERROR", "object": {"code": 410, "message": "too old"}}],
    ]
    heard = Told(server, tmp_path)
    yield heard
    heard.stop.set()


def test_list_comes_page_by_page_and_then_each_change(told: Told) -> None:
    until(lambda: len(told.changes) == 2, within_seconds=60, what="two changes")

    assert told.lists[0] == ["a", "b"]
    assert told.changes == [("ADDED", "c"), ("DELETED", "a")]


def test_watch_goes_on_where_it_ended_bookmarks_counted(server: Server, told: Told) -> None:
    until(lambda: len(told.changes) == 2, within_seconds=60, what="two changes")

    watches = [query["resourceVersion"] for query in server.asked if "watch" in query]
    assert watches[:2] == ["9", "15"]


def test_history_that_is_gone_is_listed_anew(told: Told) -> None:
    until(lambda: len(told.lists) == 2, within_seconds=60, what="a second list")

    assert told.lists[1] == ["a", "b"]


def test_token_is_read_at_every_request(server: Server, told: Told, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("second")
    until(lambda: len(told.lists) == 2, within_seconds=60, what="a second list")

    assert server.tokens[-1] == "Bearer second"
