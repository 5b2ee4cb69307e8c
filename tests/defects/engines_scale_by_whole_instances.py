"""More instances make one group larger: the number of pods is right, and no engine has it."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.serving_operator import operated, rewritten
from tests.world import World

prepared = operated
WIDENED = {
    'range(serving["spec"]["instances"])': "range(1)",
    '"replicas": spec["replicas"],': '"replicas": spec["replicas"] * spec["instances"],',
}


@contextmanager
def broken(world: World) -> Iterator[None]:
    with operated(world, _one_group):
        yield


def _one_group(document: Document) -> None:
    for former, new in WIDENED.items():
        rewritten(former, new)(document)
