"""The update may take every engine at once; each is made anew, and in the end all are ready."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["strategy"]
    _set(world, {"maxUnavailable": "100%", "maxSurge": 0})
    try:
        yield
    finally:
        _set(world, former["rollingUpdate"])


def _set(world: World, rolling: dict[str, object]) -> None:
    name = world.stack.engine_workload()["metadata"]["name"]
    body = {"spec": {"strategy": {"rollingUpdate": rolling}}}
    world.cluster.patch("Deployment", world.profile.namespace, name, body, api_version="apps/v1")
