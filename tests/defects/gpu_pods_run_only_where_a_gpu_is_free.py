"""A node offers one GPU too many: its neighbour's. Driver, plugin and scheduler agree upon it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.gpu.gpus import CONFIG
from hotfire.waiting import until
from tests.world import World

OWNER, NODE = "n1", "n2"
ALIAS = "/dev/nvidia2"


@contextmanager
def broken(world: World) -> Iterator[None]:
    numbers = world.rack.run(OWNER, ["stat", "--format=%t %T", "/dev/nvidia0"]).split()
    major, minor = (str(int(number, 16)) for number in numbers)
    offered = _offered(world)
    world.rack.run(NODE, ["mknod", ALIAS, "b", major, minor])
    try:
        _rescan(world, expected=offered + 1)
        yield
    finally:
        world.rack.run(NODE, ["rm", ALIAS])
        _rescan(world, expected=offered)


def _rescan(world: World, *, expected: int) -> None:
    """Touch the plugin's settings, upon which it looks for devices, and wait for the outcome."""
    world.rack.run(NODE, ["touch", CONFIG])
    until(
        lambda: _offered(world) == expected,
        within_seconds=60,
        what=f"{NODE} offering {expected} GPUs",
    )


def _offered(world: World) -> int:
    [node] = [node for node in world.cluster.nodes() if node.name == NODE]
    return int(node.allocatable.get(world.profile.accelerator.resource, "0"))
