"""The reference stack's liveness probe tells an engine that computes from one that hangs."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.engine import liveness
from hotfire.own_folders import project_root

METRICS = """# HELP vllm:iteration_tokens_total Histogram of number of tokens per engine_step.
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{{engine="0",le="1.0",model_name="m"}} 3.0
vllm:iteration_tokens_total_count{{engine="0",model_name="m"}} {steps}
vllm:iteration_tokens_total_sum{{engine="0",model_name="m"}} 9.0
"""


class Engine(http.server.ThreadingHTTPServer):
    """What an API server says, whatever its engine does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.health, self.steps, self.waiting = 200, 1.0, 0
        self.token: int | None = 200
        """Status of an answer; None: there is none."""
        self.steps_a_look = self.steps_an_answer = 0
        self.asked = 0
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers as its server is told to."""

    server: Engine

    def do_GET(self) -> None:
        self.server.steps += self.server.steps_a_look
        pages = {
            "/metrics": METRICS.format(steps=self.server.steps),
            "/load": json.dumps({"server_load": self.server.waiting}),
            "/v1/models": json.dumps({"data": [{"id": "m"}]}),
            "/health": "",
        }
        self._say(self.server.health if self.path == "/health" else 200, pages[self.path])

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        assert json.loads(self.rfile.read(length))["model"] == "m"
        self.server.asked += 1
        self.server.steps += self.server.steps_an_answer
        if self.server.token is None:
            self.server.over.wait(30)
        else:
            self._say(self.server.token, "{}")

    def _say(self, status: int, words: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(liveness, "STEP_SECONDS", 0)
    monkeypatch.setattr(liveness, "TOKEN_SECONDS", 0.2)
    with Engine() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.over.set()
        found.shutdown()
        thread.join()


def test_an_engine_that_computes_is_alive_and_is_asked_nothing(engine: Engine) -> None:
    engine.waiting, engine.token, engine.steps_a_look = 30, None, 1

    assert not liveness.main(engine.port)
    assert engine.asked == 0


def test_an_engine_for_which_nobody_waits_is_alive_and_is_asked_nothing(engine: Engine) -> None:
    engine.token = None

    assert not liveness.main(engine.port)
    assert engine.asked == 0


@pytest.mark.parametrize("waiting", [1, -1], ids=["somebody", "miscounted"])
@pytest.mark.parametrize(
    ("token", "alive"),
    [(200, True), (429, True), (500, False), (None, False)],
    ids=["a-token", "overloaded", "an-error", "nothing"],
)
def test_one_that_stands_still_while_somebody_waits_has_to_give_a_token(
    engine: Engine, waiting: int, token: int | None, alive: bool
) -> None:
    engine.waiting, engine.token = waiting, token

    trouble = liveness.main(engine.port)

    assert (not trouble) == alive, trouble
    assert engine.asked == 1


def test_one_whose_steps_take_long_is_alive_though_it_gives_no_token_in_time(
    engine: Engine,
) -> None:
    engine.waiting, engine.token, engine.steps_an_answer = 1, None, 1

    assert not liveness.main(engine.port)
    assert engine.asked == 1


def test_a_dead_engine_is_not_alive(engine: Engine) -> None:
    engine.health = 503

    with pytest.raises(OSError, match="503"):
        liveness.main(engine.port)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n"], ids=["nothing", "no HTTP"])
def test_what_is_no_api_server_is_not_alive(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1 << 16)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises((OSError, ValueError)):
            liveness.main(server.getsockname()[1])
        thread.join(10)


CONTAINER = "/spec/template/spec/containers/0"


def changes_of(overlay: Path) -> dict[str, Any]:
    """Return what an overlay makes of the engines, with the changes of those it rests on."""
    document = yaml.safe_load(overlay.read_text())
    changes: dict[str, Any] = {}
    for below in document.get("resources", ()):
        if (found := overlay.parent / below / overlay.name).exists():
            changes |= changes_of(found)
    own = (
        operation
        for patch in document.get("patches", ())
        if patch.get("target", {}).get("name") == "vllm"
        for operation in yaml.safe_load(patch["patch"])
    )
    return changes | {one["path"]: one.get("value") for one in own}


@pytest.mark.parametrize(
    "overlay", sorted((project_root() / "reference-stack/overlays").glob("*/kustomization.yaml")),
    ids=lambda path: path.parent.name,
)  # fmt: skip
def test_each_overlay_keeps_what_the_probe_asks_for_or_has_another(overlay: Path) -> None:
    changes = changes_of(overlay)

    if f"{CONTAINER}/command" in changes:
        assert f"{CONTAINER}/livenessProbe" in changes
    elif f"{CONTAINER}/args" in changes and f"{CONTAINER}/livenessProbe" not in changes:
        assert "--enable-server-load-tracking" in changes[f"{CONTAINER}/args"]
