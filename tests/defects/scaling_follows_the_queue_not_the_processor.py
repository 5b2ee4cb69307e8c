"""The engines are scaled by their requests, and by use of the processor besides, to be safe."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.scaled import scaled
from tests.world import World

prepared = scaled


@contextmanager
def broken(world: World) -> Iterator[None]:
    with scaled(world, _by_processor_too):
        yield


def _by_processor_too(spec: Document) -> None:
    spec["triggers"].append(
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}
    )
