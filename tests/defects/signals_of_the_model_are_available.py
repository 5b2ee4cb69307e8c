"""One panel of the dashboard asks for the cache's use by the name that an older engine gave it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NAME = "engines"
SOUND = ["rate(vllm:request_success_total[1m])", "sum(vllm:num_requests_waiting)"]
REMOVED = "max(vllm:gpu_cache_usage_perc)"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _dashboard(world, SOUND):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with _dashboard(world, [*SOUND, REMOVED]):
        yield


@contextmanager
def _dashboard(world: World, expressions: list[str]) -> Iterator[None]:
    panels = [{"type": "timeseries", "targets": [{"expr": each}]} for each in expressions]
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {"grafana_dashboard": "1"}},
        "data": {"engines.json": json.dumps({"title": "Engines", "panels": panels})},
    }
    world.cluster.apply([document], namespace=world.profile.namespace)
    try:
        yield
    finally:
        world.cluster.delete("ConfigMap", world.profile.namespace, NAME)
