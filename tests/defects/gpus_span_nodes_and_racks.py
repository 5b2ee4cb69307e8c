"""Several nodes, and all of them in one rack."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    label = world.profile.fabric.rack_label
    nodes = world.cluster.nodes(world.profile.accelerator.node_selector)
    former = {node.name: node.labels[label] for node in nodes}
    try:
        for name in former:
            world.label(name, {label: "rack-1"})
        yield
    finally:
        for name, rack in former.items():
            world.label(name, {label: rack})
