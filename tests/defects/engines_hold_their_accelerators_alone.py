"""One engine of three got a time-sliced GPU: the same resource name, labels that tell of none."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from hotfire.lab.gpu.gpus import CONFIG, GpuSharing
from hotfire.waiting import until
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    taken = {pod.node for pod in world.stack.engines()}
    nodes = world.cluster.nodes(world.profile.accelerator.node_selector)
    node = next(node.name for node in nodes if node.name not in taken)
    whole = world.offered(node)

    def there(spec: Document) -> None:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}

    former = world.rack.run(node, ["cat", CONFIG])
    try:
        _share(world, node, json.dumps(GpuSharing.parse("time-slicing=2").plugin_config()))
        until(lambda: world.offered(node) == 2 * whole, within_seconds=60, what="twice the GPUs")
        with world.one_more_engine(there):
            yield
    finally:
        _share(world, node, former)
        until(lambda: world.offered(node) == whole, within_seconds=60, what="whole GPUs again")


def _share(world: World, node: str, settings: str) -> None:
    world.rack.run(node, ["tee", CONFIG], stdin=settings)
