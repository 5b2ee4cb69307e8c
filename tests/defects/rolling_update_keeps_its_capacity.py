"""A rolling update by its name, a budget beside it, and all engines may go at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["strategy"]["rollingUpdate"]
    _set(world, {"maxUnavailable": "100%", "maxSurge": 0})
    try:
        yield
    finally:
        _set(world, former)


def _set(world: World, rolling: Document) -> None:
    name, namespace = world.stack.engine_workload()["metadata"]["name"], world.profile.namespace
    body = {"spec": {"strategy": {"rollingUpdate": rolling}}}
    world.cluster.patch("Deployment", namespace, name, body, api_version="apps/v1")
