"""Engines come and go with the requests in flight: metrics-server and KEDA at work."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotfire.lab.lab import Lab
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.lab.test_every_check_can_fail import SUITES, brought_by, run
from tests.scaled import extended, scaled
from tests.world import World

pytestmark = [pytest.mark.lab, pytest.mark.add_on]


@pytest.fixture
def scaling(lab: Lab) -> Lab:
    """The lab with metrics-server and KEDA; builds them where the cache lacks them."""
    del lab
    return extended()


def test_metrics_server_tells_the_load_of_every_node(scaling: Lab) -> None:
    def measured() -> set[str]:
        rows = scaling.kubectl().run("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")
        return {each["metadata"]["name"] for each in json.loads(rows)["items"]}

    workers = {worker.name for worker in scaling.topology().workers}
    until(lambda: measured() == workers, within_seconds=60, what="metrics of every node")
    assert "CPU(cores)" in scaling.kubectl().run("top", "pods", "--all-namespaces")


@contextmanager
def requests_in_flight(world: World, count: int) -> Iterator[None]:
    """Keep that many answers coming, slowly, until the end of the block."""
    world.script(tpot_seconds=5.0)
    body = {"model": world.profile.engine.model, "stream": True}
    body |= {"messages": [{"role": "user", "content": "count"}], "max_tokens": 60}
    address = world.profile.gateway.reachable_url.removeprefix("http://")
    connections = [http.client.HTTPConnection(address, timeout=10) for _ in range(count)]
    try:
        for connection in connections:
            headers = {"content-type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        yield
    finally:
        for connection in connections:
            connection.close()
        world.script(tpot_seconds=0.005)


@pytest.fixture
def scaled_world(world: World) -> Iterator[World]:
    """The scripted stack with its engines scaled by KEDA as the overlay says."""
    with scaled(world):
        yield world


def test_engines_follow_the_requests_in_flight(scaled_world: World) -> None:
    def ready() -> set[str]:
        return {pod.node for pod in scaled_world.stack.engines() if pod.ready}

    with requests_in_flight(scaled_world, 20):
        until(lambda: len(ready()) == 3, within_seconds=90, what="three engines on three nodes")
        assert ready() <= {
            node.name for node in scaled_world.cluster.nodes({"nvidia.com/gpu.present": "true"})
        }

    until(
        lambda: len(scaled_world.stack.engines()) == 1,
        within_seconds=150,
        what="one engine left after the stabilisation window",
    )


def test_every_check_of_scaling_passes_on_the_overlay(
    scaled_world: World, scripted_target: Path, tmp_path: Path
) -> None:
    suites = [suite for suite in SUITES if brought_by(suite) == "scaled"]

    ran = run(suites, scripted_target, tmp_path)

    found = {suite.stem: ran.verdict(suite) for suite in suites}
    assert {name: one for name, one in found.items() if one[0] is not Verdict.PASSED} == {}
