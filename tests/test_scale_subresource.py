"""A kind that nobody has heard of is scaled by its scale subresource, or the reason is told."""

import pytest

from hotfire.errors import HarnessError
from tests.chaos.platform import NAMESPACE
from tests.fake_api import KINDS, SCALES, FakeApi
from tests.test_replicated import cluster_with, seen, written

GRAPH = ("example.com/v1", "EngineGraph")
OWNED_BY_GRAPH = [("apps/v1", "ReplicaSet"), ("apps/v1", "Deployment"), GRAPH]


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """Engines of a kind that nobody here has heard of; it has a scale subresource."""
    monkeypatch.setitem(KINDS, GRAPH[0], {GRAPH[1]: True})
    monkeypatch.setitem(SCALES, (GRAPH[0], "enginegraphs"), ("decode", "count"))
    api = cluster_with(OWNED_BY_GRAPH, {"decode": {"count": 2}, "model": "tiny"}, {})
    status(api, selector="app=vllm")
    return api


def status(api: FakeApi, **fields: str) -> None:
    api.objects[GRAPH[0], "enginegraphs", NAMESPACE, "enginegraph"]["status"] = fields


def test_a_kind_that_nobody_knows_is_scaled_by_its_scale_subresource(graph: FakeApi) -> None:
    found = seen(graph)
    more = written(graph, 3)

    assert (str(found), found.replicas) == ("EngineGraph enginegraph", 2)
    assert found.resource == "enginegraphs/scale"
    assert more == {"decode": {"count": 3}, "model": "tiny"}
    assert seen(graph).replicas == 3


def test_scaled_to_none_is_told_as_none(graph: FakeApi) -> None:
    spec = {"decode": {"count": 0}}
    graph.objects[GRAPH[0], "enginegraphs", NAMESPACE, "enginegraph"]["spec"] = spec

    assert seen(graph).replicas == 0


@pytest.mark.parametrize(
    ("selector", "reason"),
    [("", "EngineGraph enginegraph names no pods"), ("app=router", "pods with app=router, and")],
)
def test_a_scale_that_counts_others_is_told(graph: FakeApi, selector: str, reason: str) -> None:
    status(graph, selector=selector)

    with pytest.raises(HarnessError, match=reason):
        seen(graph)


def test_what_a_kind_without_a_scale_owns_is_not_scaled_in_its_place(
    graph: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(SCALES, (GRAPH[0], "enginegraphs"))

    with pytest.raises(HarnessError, match="Deployment deployment, is not written: it would put"):
        seen(graph)
