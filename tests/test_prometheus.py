"""A Prometheus that restarts is waited for; one that refuses is believed at once."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from hotfire.errors import HarnessError
from hotfire.patience import Patience
from hotfire.prometheus import AlertRule, Prometheus, RecordingRule

ALERT = {"type": "alerting", "name": "Down", "query": "up == 0", "duration": 10, "lastError": ""}
RECORD = {"type": "recording", "name": "up:sum", "query": "sum(up)"}
GROUPS = [{"interval": 5, "rules": [RECORD, ALERT]}]

# What a relay answers that finds nobody behind it: nothing.
RELAY = 0


class Answering(BaseHTTPRequestHandler):
    """One series of value 7, after as many refusals as are still to come."""

    coming: list[int]
    asked: int

    def do_GET(self) -> None:
        type(self).asked += 1
        status = self.coming.pop(0) if self.coming else 200
        if status == RELAY:
            self.close_connection = True
            return
        result = [{"metric": {}, "value": [0, "7"]}]
        data = json.dumps({"data": {"result": result, "groups": GROUPS}}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def handler() -> type[Answering]:
    return type("Handler", (Answering,), {"coming": [], "asked": 0})


@pytest.fixture
def server(handler: type[Answering]) -> Iterator[Prometheus]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{listening.server_port}"
        yield Prometheus(address, patience=Patience(outage_seconds=20))
        listening.shutdown()


def test_restart_is_waited_for(server: Prometheus, handler: type[Answering]) -> None:
    handler.coming = [503, 502, RELAY]

    assert server.total("up") == 7


def test_expression_it_does_not_understand_is_told_at_once(
    server: Prometheus, handler: type[Answering]
) -> None:
    handler.coming = [400]

    with pytest.raises(HarnessError, match="400"):
        server.query("up{")

    assert handler.asked == 1


def test_rules_of_alerts_are_told_with_their_times(
    server: Prometheus, handler: type[Answering]
) -> None:
    handler.coming = [503]

    assert server.alert_rules() == [
        AlertRule(
            name="Down", expression="up == 0", for_seconds=10.0, interval_seconds=5.0, error=""
        )
    ]


def test_rules_that_record_are_told_with_what_they_ask(server: Prometheus) -> None:
    assert server.recording_rules() == [RecordingRule("up:sum", "sum(up)")]


def test_silence_is_an_error_when_patience_ends() -> None:
    server = Prometheus("http://127.0.0.1:9", patience=Patience(outage_seconds=0.3))

    with pytest.raises(HarnessError, match="Prometheus at"):
        server.query("up")
