"""A node of the lab that shares its GPUs for as long as a test wants it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.gpu.gpus import CONFIG, GpuSharing
from hotfire.waiting import until
from tests.world import World


def free_node(world: World) -> str:
    """Return a node with GPUs and without an engine."""
    taken = {pod.node for pod in world.stack.engines()}
    nodes = world.cluster.nodes(world.profile.accelerator.node_selector)
    return next(node.name for node in nodes if node.name not in taken)


@contextmanager
def shared(world: World, node: str, replicas: int) -> Iterator[None]:
    """Cut each GPU of a node in so many slices of time; its labels stay as they are."""
    whole = world.offered(node)
    former = world.rack.run(node, ["cat", CONFIG])
    settings = json.dumps(GpuSharing.parse(f"time-slicing={replicas}").plugin_config())
    try:
        world.rack.run(node, ["tee", CONFIG], stdin=settings)
        _await(world, node, replicas * whole)
        yield
    finally:
        world.rack.run(node, ["tee", CONFIG], stdin=former)
        _await(world, node, whole)


def _await(world: World, node: str, count: int) -> None:
    until(
        lambda: world.offered(node) == count,
        within_seconds=60,
        what=f"{count} GPUs offered by {node}",
    )
