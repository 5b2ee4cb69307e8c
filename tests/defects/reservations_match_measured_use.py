"""Engines ask for a quarter of the memory that they use; everything is declared."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.world import World

LITTLE = "4Mi"


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["template"]["spec"]["containers"]
    name = world.profile.engine.container
    world.set_engine_containers([_asking_little(each, name) for each in former])
    try:
        yield
    finally:
        world.set_engine_containers(former)


def _asking_little(container: dict[str, Any], name: str) -> dict[str, Any]:
    if container["name"] != name:
        return container
    resources = container["resources"]
    requests = {**resources["requests"], "memory": LITTLE}
    return {**container, "resources": {**resources, "requests": requests}}
