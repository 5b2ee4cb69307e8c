"""A model store that gives a node a tenth, and all of it again when the agent is gone."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent.world import ENTRY, Agent, Node

STORE, PORT = "10.99.0.2", 8080
URL = f"http://{STORE}:{PORT}/models/tiny"
SIZE = 1 << 20
SERVER = f"""
import http.server
SIZE = {SIZE}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        rows = [dict(path="small", size_bytes=1), dict(path="a b", size_bytes=SIZE)]
        manifest = self.path.endswith("/manifest.json")
        body = __import__("json").dumps(dict(files=rows)).encode() if manifest else bytes(SIZE)
        self.send_response(200 if manifest or self.path.endswith("/a%20b") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("{STORE}", {PORT}), Handler)
print("ready", flush=True)
server.serve_forever()
"""


@pytest.fixture
def store(node: Node) -> Iterator[None]:
    """A store beyond the node, of one model."""
    argv = ["nsenter", f"--net=/run/netns/{node.router}", "--", sys.executable, "-c", SERVER]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"
    yield
    server.kill()
    server.wait(10)


def slow(agent: Agent, **besides: object) -> Any:  # noqa: ANN401 - JSON
    order = {"id": ENTRY, "url": URL, "percent": 10, "fetch_seconds": 0.01, "ttl_seconds": 60}
    return agent.call("store.slow", **(order | besides))["observed"]


def share(agent: Agent) -> float:
    return float(agent.call("store.share", id=ENTRY)["percent"])


def test_a_tenth_comes_and_all_of_it_again_once_healed(
    inner: Agent, node: Node, store: None
) -> None:
    slow(inner)

    limited = share(inner)
    inner.call("heal", id=ENTRY)

    assert 0 < limited <= 12
    assert share(inner) > 30
    assert "hotfire" not in node.tables()


def test_the_limit_of_a_killed_agent_ends_at_its_next_start(
    inner: Agent, node: Node, store: None
) -> None:
    slow(inner)
    inner.end(signal.SIGKILL)
    assert "hotfire" in node.tables()

    inner.start()

    assert "hotfire" not in node.tables()


def test_a_small_model_takes_its_time(inner: Agent, store: None) -> None:
    seen = slow(inner, fetch_seconds=20)

    assert seen["limit_bytes_per_second"] == round(SIZE / 20)
    assert share(inner) < 1


def test_a_store_is_made_slow_once(inner: Agent, store: None) -> None:
    slow(inner)

    order = {"url": URL, "percent": 10, "fetch_seconds": 1, "ttl_seconds": 60}
    again = inner.reply("store.slow", id="u-2", **order)

    assert f"slow already, by {ENTRY}" in again["error"]


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"url": "https://10.99.0.2/x"}, "takes the http://"),
        ({"url": "http://store/x"}, "address"),
        ({"percent": 100}, "percent of 100"),
        ({"link": "up1"}, "unknown: link"),
    ],
)
def test_what_cannot_be_limited_is_refused(
    unharmed: Agent, args: dict[str, object], why: str
) -> None:
    order = {"url": URL, "percent": 10, "fetch_seconds": 1} | args

    reply = unharmed.reply("store.slow", id="u-1", ttl_seconds=60, **order)

    assert why in json.dumps(reply["error"])


def test_a_store_that_does_not_answer_cannot_be_made_slow(inner: Agent) -> None:
    order = {"url": URL, "percent": 10, "fetch_seconds": 1, "ttl_seconds": 60}

    assert "refused" in inner.reply("store.slow", id=ENTRY, **order)["error"]
