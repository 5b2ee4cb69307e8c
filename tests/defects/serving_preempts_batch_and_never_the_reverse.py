"""The PriorityClass is there, and the engines do not name it: they rank as any batch pod does."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

NAME = "priorityClassName"


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.engine_workload()["spec"]["template"]["spec"][NAME]
    world.patch_engine_pods({NAME: None, "priority": None})
    try:
        yield
    finally:
        world.patch_engine_pods({NAME: former})
