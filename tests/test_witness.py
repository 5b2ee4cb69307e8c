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

from hotfire import metrics
from hotfire.lab.machine.pki import Authority
from hotfire.measure.crosscheck import Agreement, CrossCheck
from hotfire.measure.history import Request
from hotfire.metrics import Metrics
from hotfire.prometheus import Prometheus
from hotfire.traffic.record.files import line
from hotfire.traffic.witnesses.witness import (
    Silence,
    compared,
    compared_between,
    engine_at,
    prometheus_at,
)
from tests.engine_process import running_engine
from tests.prometheus_archive import remembering
from tests.test_long_load import ended
from tests.test_reactor_tls import front

TTFT = "vllm:time_to_first_token_seconds"


class Scraper(BaseHTTPRequestHandler):
    """A Prometheus whose engine had 7 first tokens at the last scrape, and has 9 at the next."""

    scraped = 0.0
    asked: list[str] = []  # noqa: RUF012 - one server, one test

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/api/v1/query":
            self.send_error(404)
            return
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

    assert isinstance(found, Metrics)
    assert found.count(TTFT, pod="a") == 9.0


def test_an_engine_tells_its_own_metrics() -> None:
    with running_engine() as engine:
        found = engine_at(engine.url)()

    assert isinstance(found, Metrics)
    assert found.count(TTFT) == 0


@pytest.mark.parametrize(
    ("path", "why"),
    [("/v1/models", "no page of metrics; line 1"), ("/no-such-page", "answered 404 Not Found")],
)
def test_what_is_no_metrics_page_is_silence_with_its_cause(path: str, why: str) -> None:
    with running_engine() as engine:
        found = engine_at(engine.url + path)()

    assert isinstance(found, Silence)
    assert why in found.reason


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
        strange = engine_at(url)()

    assert isinstance(strange, Silence)
    assert "certificate is not vouched for" in strange.reason
    assert isinstance(found, Metrics)
    assert found.count(TTFT) == 0


def test_nobody_there_is_silence_with_its_cause() -> None:
    found = engine_at("http://127.0.0.1:1")()

    assert found == Silence("http://127.0.0.1:1/metrics: connection refused: nobody listens there")


S = 10**9
T0 = 1_760_000_000


def remembered(*, between: float = 0.01, strangers: int = 0, dies_at: float = 999) -> CrossCheck:
    """Compare 10 requests a second, from 0 to 100 s, with engines' memory of 20 to 80 s.

    The engines make first tokens 0.2 s after the sending, and engine b none once it has died.
    """
    sent = [seq / 10 for seq in range(1000)]
    made = {
        "a": [T0 + at + 0.2 for at in sent[::2]] + [T0 + 50.0] * strangers,
        "b": [T0 + at + 0.2 for at in sent[1::2] if at < dies_at],
    }
    rows = [
        Request(seq=seq, sched_ns=0, send_ns=send_ns, first_ns=send_ns + round((0.2 + between) * S))
        for seq, send_ns in enumerate(round((T0 + at) * S) for at in sent)
    ]
    with remembering(made, ttft_seconds=0.2) as url:
        start_ns, end_ns = (T0 + 20) * S, (T0 + 80) * S
        return compared_between(rows, Prometheus(url), start_ns=start_ns, end_ns=end_ns)


def test_a_stretch_of_a_running_load_is_compared_between_two_scrapes_of_the_past() -> None:
    found = remembered(dies_at=85)

    assert found.agreement is Agreement.AGREES, found.reason
    assert found.ttft_between_seconds == pytest.approx(0.01)
    assert found.requests_by_engine is not None
    assert 550 < found.requests_by_client <= found.requests_by_engine <= 650


def test_tokens_that_were_seen_before_the_engines_made_them_show_in_a_stretch_too() -> None:
    assert remembered(between=-0.1).agreement is Agreement.MEASURING_FAULT


@pytest.mark.parametrize("otherwise", [{"strangers": 60}, {"dies_at": 50}])
def test_a_stretch_in_which_the_counts_differ_is_not_comparable(otherwise: dict[str, int]) -> None:
    found = remembered(**otherwise)

    assert found.agreement is Agreement.NOT_COMPARABLE
    assert "575 to 625" in found.reason


def test_a_prometheus_that_is_gone_says_nothing_of_a_stretch() -> None:
    found = compared_between([], Prometheus("http://127.0.0.1:1"), start_ns=T0, end_ns=T0 + S)

    assert found.agreement is Agreement.NOT_COMPARABLE
    assert "connection refused" in found.reason


def test_a_stretch_between_two_scrapes_is_said_to_be_too_short() -> None:
    with remembering({"a": [], "b": []}, ttft_seconds=0.2) as url:
        start_ns, end_ns = (T0 + 20) * S, (T0 + 22) * S
        found = compared_between([], Prometheus(url), start_ns=start_ns, end_ns=end_ns)

    assert found.agreement is Agreement.NOT_COMPARABLE
    assert "2 s are too short" in found.reason
    assert "it scrapes every 5 s" in found.reason


def before_the_load() -> Metrics:
    return metrics.parse(f"{TTFT}_count 0\n{TTFT}_sum 0\n")


def test_a_witness_that_was_silent_before_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask() -> Metrics:
        asked.append("again")
        return before_the_load()

    found = compared(ended(tmp_path, b""), ask, Silence("it wants credentials"))

    assert (found.agreement, found.reason) == (Agreement.NOT_COMPARABLE, "it wants credentials")
    assert asked == []


def test_lines_that_could_not_be_read_are_told_with_the_comparison(tmp_path: Path) -> None:
    row = Request(seq=0, sched_ns=S, send_ns=S, headers_ns=S, first_ns=2 * S)
    page = metrics.parse(f"{TTFT}_count 1\n{TTFT}_sum 0.9\nvllm:other{{x=1}} 3\n")

    found = compared(ended(tmp_path, line(row)), lambda: page, before_the_load())

    assert found.agreement is Agreement.AGREES
    assert found.reason.endswith("1 of their lines could not be read, line 3: 'vllm:other{x=1} 3'")


def test_engines_that_do_not_count_first_tokens_are_told_to_lack_them(tmp_path: Path) -> None:
    page = metrics.parse("sglang:requests_total 7\n")

    found = compared(ended(tmp_path, b""), lambda: page, page)

    assert found.reason == f"at the start the engines told no {TTFT}_count"


def test_a_password_in_the_pages_address_is_not_told() -> None:
    found = engine_at("http://me:secret@127.0.0.1:1/metrics?token=secret")()

    assert isinstance(found, Silence)
    assert "secret" not in found.reason
