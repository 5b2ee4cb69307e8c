"""The quota lists CPU and memory only: it is there, it refuses, and every GPU is free to take."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    [quota] = world.cluster.list("ResourceQuota", world.profile.namespace)
    name, bounds = quota["metadata"]["name"], quota["spec"]["hard"]
    gpus = f"requests.{world.profile.accelerator.resource}"
    _bound(world, name, {gpus: None})
    try:
        yield
    finally:
        _bound(world, name, bounds)


def _bound(world: World, name: str, hard: dict[str, str | None]) -> None:
    """Change what the quota bounds, and wait for its controller."""
    namespace = world.profile.namespace
    world.cluster.patch("ResourceQuota", namespace, name, {"spec": {"hard": hard}})

    def counted() -> bool:
        found = world.cluster.get("ResourceQuota", namespace, name) or {}
        return bool(found["spec"]["hard"] == found.get("status", {}).get("hard"))

    until(counted, within_seconds=30, what=f"quota {name} counted")
