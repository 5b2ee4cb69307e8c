"""Engines come and go with the requests in flight: metrics-server and KEDA at work."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fixtures.deployment import render
from hotfire.cluster import Document
from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.waiting import until
from tests.world import World

pytestmark = [pytest.mark.lab, pytest.mark.add_on]


@pytest.fixture
def scaling(lab: Lab) -> Lab:
    """The lab with metrics-server and KEDA; builds them where the cache lacks them."""
    lab.extend(["scaling"], Progress(print))
    return lab


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


def autoscalers(world: World) -> list[Document]:
    where = world.profile.namespace
    return world.cluster.list("HorizontalPodAutoscaler", where, api_version="autoscaling/v2")


@pytest.fixture
def scaled(scaling: Lab, world: World) -> Iterator[World]:
    """The scripted stack with its engines scaled by KEDA as the overlay says."""
    stack = world.profile.stack.model_copy(update={"overlay": "autoscaling"})
    documents = render(world.profile.model_copy(update={"stack": stack}))
    scalers = [each for each in documents if each["kind"] == "ScaledObject"]
    world.cluster.apply(scalers, namespace=world.profile.namespace)
    yield world
    for each in scalers:
        api, name = each["apiVersion"], each["metadata"]["name"]
        world.cluster.delete(each["kind"], world.profile.namespace, name, api_version=api)
    until(lambda: not autoscalers(world), within_seconds=30, what="KEDA's autoscaler gone")
    world.scale(2)
    world.stack.wait_ready()


def test_engines_follow_the_requests_in_flight(scaled: World) -> None:
    def ready() -> set[str]:
        return {pod.node for pod in scaled.stack.engines() if pod.ready}

    with requests_in_flight(scaled, 20):
        until(lambda: len(ready()) == 3, within_seconds=90, what="three engines on three nodes")
        assert ready() <= {
            node.name for node in scaled.cluster.nodes({"nvidia.com/gpu.present": "true"})
        }

    until(
        lambda: len(scaled.stack.engines()) == 1,
        within_seconds=150,
        what="one engine left after the stabilisation window",
    )
