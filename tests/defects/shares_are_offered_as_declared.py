"""The labels declare two shares of each GPU, and the plugin hands out four."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.gpu_shares import free_node, shared
from tests.world import World

DECLARED, MULTIPLIED = 2, 4


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with _declared(world, DECLARED):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with _declared(world, MULTIPLIED):
        yield


@contextmanager
def _declared(world: World, replicas: int) -> Iterator[None]:
    """Share a node's GPUs, with labels that tell of ``DECLARED`` shares."""
    name, resource = free_node(world), world.profile.accelerator.resource
    [node] = [one for one in world.cluster.nodes() if one.name == name]
    said = {f"{resource}.replicas": str(DECLARED), f"{resource}.sharing-strategy": "time-slicing"}
    former = {label: node.labels[label] for label in said}
    with shared(world, name, replicas):
        world.label(name, said)
        try:
            yield
        finally:
            world.label(name, former)
