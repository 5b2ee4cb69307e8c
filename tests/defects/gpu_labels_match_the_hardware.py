"""One node of three still says how much memory the card had that was there before."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    accelerator = world.profile.accelerator
    *_, node = world.cluster.nodes(accelerator.node_selector)
    label = f"{accelerator.resource}.memory"
    former = node.labels[label]
    world.label_node(node.name, label, "40960")
    try:
        yield
    finally:
        world.label_node(node.name, label, former)
