"""How long a scrape is awaited follows how often there is one, and who is silent says why."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hotfire.errors import HarnessError
from hotfire.metrics import Metrics
from hotfire.prometheus import Prometheus, duration_seconds
from hotfire.traffic.witnesses.scrapes import Scrapes
from hotfire.traffic.witnesses.witness import Silence, prometheus_at

TTFT = "vllm:time_to_first_token_seconds"

LABELS = {"job": "vllm", "instance": "10.0.0.1:8000"}


@dataclass
class Server:
    """A Prometheus of one engine; it scrapes every ``real_seconds`` and says what it says."""

    real_seconds: float = 0.5
    listed: str | None = None
    """Interval in its list of targets; None: it has no such list."""
    seen_seconds: float | None = None
    """Distance of the samples of the last minutes; None: it has no ranges."""
    error: str = ""
    series: bool = True
    stopped_at: float = field(default_factory=lambda: time.time() + 3600)
    url: str = ""

    def answer(self, path: str, query: str) -> Any:  # noqa: ANN401 - a document
        now = time.time()
        last = min(now, self.stopped_at)
        last -= last % self.real_seconds
        if path == "/api/v1/targets":
            row = {"labels": LABELS, "scrapeUrl": "http://10.0.0.1:8000/metrics"}
            row |= {"scrapeInterval": self.listed or "", "lastError": self.error}
            other = {"labels": {"job": "x", "instance": "y"}, "scrapeInterval": "1h"}
            return {"activeTargets": [row, other]} if self.listed else None
        if query.endswith("]"):
            step = self.seen_seconds
            rows = [[now - place * step, "1"] for place in range(9, 0, -1)] if step else []
            return {"result": [{"metric": LABELS, "values": rows}] if rows else []}
        if not self.series:
            return {"result": []}
        name = {} if query.startswith("timestamp") else {"__name__": f"{TTFT}_count"}
        value = last if query.startswith("timestamp") else 9
        return {"result": [{"metric": LABELS | name, "value": [now, str(value)]}]}


@pytest.fixture
def prometheus() -> Iterator[Callable[..., Server]]:
    running = []

    def start(**words: Any) -> Server:  # noqa: ANN401 - fields of the server
        told = Server(**words)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query).get("query", [""])[0]
                found = told.answer(parts.path, query)
                data = json.dumps({"status": "success", "data": found}).encode()
                self.send_response(200 if found else 404)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        told.url = f"http://127.0.0.1:{server.server_port}"
        return told

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def scrapes(server: Server) -> Scrapes:
    return Scrapes(Prometheus(server.url))


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ({"listed": "30s"}, 30),
        ({"listed": "1m0s", "seen_seconds": 7}, 60),
        ({"seen_seconds": 15}, 15),
        ({}, None),
        ({"listed": "30s", "series": False}, 30),
    ],
)
def test_the_interval_is_the_engines_own(
    prometheus: Callable[..., Server], words: dict[str, Any], seconds: float | None
) -> None:
    found = scrapes(prometheus(**words)).interval_seconds()

    assert found == (None if seconds is None else pytest.approx(seconds, abs=0.1))


@pytest.mark.parametrize("words", [{"listed": "500ms"}, {"seen_seconds": 0.5}, {}])
def test_a_round_ends_with_a_scrape_that_is_younger_than_it(
    prometheus: Callable[..., Server], words: dict[str, Any]
) -> None:
    began = time.time()

    assert scrapes(prometheus(**words)).await_round() == 1
    assert time.time() >= began - began % 0.5 + 0.5


def test_an_interval_longer_than_said_makes_the_wait_too_short(
    prometheus: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotfire.traffic.witnesses.scrapes._SLACK_SECONDS", 0.2)
    server = prometheus(
        listed="500ms", stopped_at=time.time() - 60, error="dial tcp: connection refused"
    )

    with pytest.raises(
        HarnessError, match=r"waited 1.2 s .* 10.0.0.1:8000, scraped every 0.5 s"
    ) as e:
        scrapes(server).await_round()
    assert "too short" in str(e.value)
    assert "http://10.0.0.1:8000/metrics: dial tcp: connection refused" in str(e.value)


def test_a_series_that_nobody_scrapes_is_not_waited_for(
    prometheus: Callable[..., Server],
) -> None:
    began = time.monotonic()

    found = prometheus_at(Prometheus(prometheus(series=False).url))()

    assert isinstance(found, Silence)
    assert f"has no series {TTFT}_count: no engine of this kind" in found.reason
    assert time.monotonic() - began < 5


def test_a_witness_that_was_scraped_twice_tells_what_was_counted(
    prometheus: Callable[..., Server],
) -> None:
    found = prometheus_at(Prometheus(prometheus(listed="500ms").url))()

    assert isinstance(found, Metrics)
    assert found.count(TTFT) == 9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1h0m0s", 3600), ("", None), ("0s", None),
     ("30", None), ("30s!", None), ("1y", None)],
)  # fmt: skip
def test_durations_are_read_as_prometheus_writes_them(text: str, seconds: float | None) -> None:
    assert duration_seconds(text) == seconds
