"""The budget is just enough: every engine starts, and there is no room for a slow day."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

# Eight seconds; the scripted engine loads for five.
TIGHT = {"periodSeconds": 1, "failureThreshold": 9}


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["template"]["spec"]["containers"]
    tight = former[0]["startupProbe"] | TIGHT
    world.set_engine_containers([{**former[0], "startupProbe": tight}])
    try:
        yield
    finally:
        world.set_engine_containers(former)
