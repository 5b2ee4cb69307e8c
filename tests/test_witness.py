"""The engines are asked when what they say is new, and are silent rather than wrong."""

import json
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from hotfire.crosscheck import TTFT
from hotfire.lab.pki import Authority
from hotfire.prometheus import Prometheus
from hotfire.traffic.witness import engine_at, prometheus_at
from tests.engine_process import running_engine
from tests.test_reactor_tls import front


class Scraper(BaseHTTPRequestHandler):
    """A Prometheus whose engine had 7 first tokens at the last scrape, and has 9 at the next."""

    scraped = 0.0
    asked: list[str] = []  # noqa: RUF012 - one server, one test

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        self.asked.append(query)
        now = time.time()
        if query.startswith("timestamp"):
            if self.asked.count(query) > 2:
                type(self).scraped = now
            self.answer({}, self.scraped)
        else:
            fresh = now - self.scraped < 60
            self.answer({"__name__": f"{TTFT}_count", "pod": "a"}, 9.0 if fresh else 7.0)

    def answer(self, metric: dict[str, str], value: float) -> None:
        result = [{"metric": metric, "value": [time.time(), str(value)]}]
        body = {"status": "success", "data": {"resultType": "vector", "result": result}}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Scraper) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_prometheus_is_believed_once_it_has_scraped_again(server: str) -> None:
    found = prometheus_at(Prometheus(server))()

    assert found is not None
    assert found.count(TTFT, pod="a") == 9.0


def test_an_engine_tells_its_own_metrics() -> None:
    with running_engine() as engine:
        found = engine_at(engine.url)()

    assert found is not None
    assert found.count(TTFT) == 0


@pytest.mark.parametrize("path", ["/v1/models", "/no-such-page"])
def test_what_is_no_metrics_page_is_silence(path: str) -> None:
    with running_engine() as engine:
        assert engine_at(engine.url + path)() is None


def test_an_engine_behind_tls_is_believed_if_its_authority_is(tmp_path: Path) -> None:
    authority = Authority()
    pair = authority.issue("engine.example.org", addresses=("127.0.0.1",))
    for name, text in {
        "ca": authority.certificate,
        "key": pair.key,
        "own": pair.certificate,
    }.items():
        (tmp_path / name).write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own", tmp_path / "key")

    with running_engine() as engine, front(context, engine.port) as url:
        found = engine_at(url, ca_file=str(tmp_path / "ca"))()
        assert engine_at(url)() is None

    assert found is not None
    assert found.count(TTFT) == 0


def test_nobody_there_is_silence() -> None:
    assert engine_at("http://127.0.0.1:1")() is None
