"""The activator holds requests while no engine serves, and stands in for the engines meanwhile."""

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest

from hotfire.engine import activator, api_server
from hotfire.engine.activator import AGAIN, Address, Demand, Engines, Watch, serve
from hotfire.waiting import until
from tests.engine_process import EngineProcess, running_engine

BODY = {"model": "tiny", "prompt": "?", "max_tokens": 3}
OWN, ENGINE = ("10.0.0.9", 8000), ("10.0.0.1", 8000)


@dataclass
class Standing:
    """An activator on this machine."""

    engines: Engines = field(default_factory=Engines)
    demand: Demand = field(default_factory=Demand)
    ports: list[int] = field(default_factory=list)

    def ask(self, **besides: object) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=20)
        connection.request("POST", "/v1/completions", json.dumps(BODY | besides))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def page(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[1], timeout=20)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


@pytest.fixture
def standing() -> Iterator[Standing]:
    found = Standing()
    servers = serve((0, 0), found.demand, found.engines)
    found.ports += [one.server_port for one in servers]
    yield found
    for one in servers:
        one.shutdown()
        one.server_close()


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--model=tiny", "--ttft-seconds=0.001", "--tpot-seconds=0.001") as found:
        yield found


def test_who_comes_first_waits_counts_as_demand_and_gets_the_answer(
    standing: Standing, engine: EngineProcess
) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(standing.ask)
        until(lambda: standing.demand.count() == 1, within_seconds=10, what="somebody who waits")
        assert "activator_requests_waiting 1\n" in standing.page()
        standing.engines.are([("127.0.0.1", engine.port)])
        status, _, content = asked.result()

    assert (status, json.loads(content)["usage"]["completion_tokens"]) == (200, 3)
    assert standing.demand.count() == 0


def test_a_stream_comes_through_as_the_engine_makes_it(
    standing: Standing, engine: EngineProcess
) -> None:
    standing.engines.are([("127.0.0.1", engine.port)])

    status, headers, content = standing.ask(stream=True)

    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert content.rstrip().endswith(b"data: [DONE]")


def test_who_would_wait_too_long_is_told_to_return_and_counts(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activator, "HOLD_SECONDS", 0.1)

    status, headers, _ = standing.ask()

    assert (status, headers["retry-after"]) == (503, AGAIN["Retry-After"])
    assert standing.demand.count() == 1


def test_who_finds_too_many_is_told_to_return_at_once(
    standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activator, "MOST_HELD", 0)

    assert standing.ask()[0] == 503


def test_an_engine_that_takes_no_connection_is_asked_no_more(engine: EngineProcess) -> None:
    engines = Engines()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = ("127.0.0.1", closed.getsockname()[1])
    engines.are([dead, ("127.0.0.1", engine.port)])

    found = engines.connection(5.0)

    assert found is not None
    found.close()
    assert found.port == engine.port


def test_an_answer_that_breaks_off_does_so_for_who_asked(
    standing: Standing, engine: EngineProcess
) -> None:
    standing.engines.are([("127.0.0.1", engine.port)])
    engine.script(misbehaviour="fin")
    try:
        _, _, content = standing.ask(stream=True)
    except http.client.IncompleteRead as error:
        content = error.partial
    finally:
        engine.script(misbehaviour="ok")

    assert b"[DONE]" not in content


class FakeApi(api_server.Api):
    """The engines' EndpointSlice, and the activator's."""

    def __init__(self, *ready: bool) -> None:
        self.slices: dict[str, dict[str, Any]] = {"vllm-x": {}, "vllm-activator": {}}
        self.are(*ready)

    def are(self, *ready: bool) -> None:
        ends = [{"addresses": [ENGINE[0]], "conditions": {"ready": one}} for one in ready]
        ports = [{"name": "http", "port": ENGINE[1]}]
        self.slices["vllm-x"] = {
            "metadata": {"name": "vllm-x"}, "ports": ports, "endpoints": ends or None,
        }  # fmt: skip

    def get(self, path: str) -> dict[str, Any]:
        assert path.endswith("?labelSelector=kubernetes.io%2Fservice-name%3Dvllm")
        return {"items": [{"metadata": {"name": n}, **v} for n, v in deepcopy(self.slices).items()]}

    def apply(self, path: str, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        assert (path.rpartition("/")[2], manager) == ("vllm-activator", "activator")
        self.slices["vllm-activator"] = body
        return body

    @property
    def standing_in(self) -> list[str]:
        ends = self.slices["vllm-activator"].get("endpoints") or ()
        return [address for one in ends for address in one["addresses"]]


def turned(api: FakeApi) -> list[Address]:
    return Watch(api, "stack", "vllm", OWN).turn()


def test_it_stands_in_where_nobody_serves() -> None:
    api = FakeApi(False)

    assert turned(api) == []
    assert api.standing_in == [OWN[0]]


def test_it_does_not_where_an_engine_serves() -> None:
    api = FakeApi(True)

    assert turned(api) == [ENGINE]
    assert api.standing_in == []


def test_it_stays_for_a_moment_beside_the_first_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    watch = Watch(api, "stack", "vllm", OWN)
    watch.turn()
    api.are(True)

    assert watch.turn() == [ENGINE]
    assert api.standing_in == [OWN[0]]
    monkeypatch.setattr(activator, "OVERLAP_SECONDS", 0.0)
    watch.turn()
    assert api.standing_in == []
