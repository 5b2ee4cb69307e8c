"""One node's plugin slices its GPUs in two, and nobody declared it: every pod is bound and runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.gpus import CONFIG, GpuSharing
from hotfire.waiting import until
from tests.world import World

NODE = "n2"


@contextmanager
def broken(world: World) -> Iterator[None]:
    former, offered = world.rack.run(NODE, ["cat", CONFIG]), _offered(world)
    sliced = json.dumps(GpuSharing.parse("time-slicing=2").plugin_config())
    world.rack.run(NODE, ["tee", CONFIG], stdin=sliced)
    try:
        until(lambda: _offered(world) == 2 * offered, within_seconds=60, what="twice the GPUs")
        yield
    finally:
        world.rack.run(NODE, ["tee", CONFIG], stdin=former)
        until(lambda: _offered(world) == offered, within_seconds=60, what="whole GPUs again")


def _offered(world: World) -> int:
    [node] = [node for node in world.cluster.nodes() if node.name == NODE]
    return int(node.allocatable.get(world.profile.accelerator.resource, "0"))
