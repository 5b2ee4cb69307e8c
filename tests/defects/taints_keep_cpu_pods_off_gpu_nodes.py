"""One GPU node has lost its taint."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    taints = (world.cluster.get("Node", None, "n2") or {})["spec"]["taints"]
    world.cluster.patch("Node", None, "n2", {"spec": {"taints": []}})
    try:
        yield
    finally:
        world.cluster.patch("Node", None, "n2", {"spec": {"taints": taints}})
