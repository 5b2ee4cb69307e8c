"""One engine of three got a time-sliced GPU: the same resource name, labels that tell of none."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.gpu_shares import free_node, shared
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    node = free_node(world)

    def there(spec: Document) -> None:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}

    with shared(world, node, 2), world.one_more_engine(there):
        yield
