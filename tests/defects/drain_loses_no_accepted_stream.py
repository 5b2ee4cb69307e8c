"""One engine ends at once when it is told to: it waits for nobody, and cuts what it answers.

New requests are not lost, since the gateway takes those that it refuses to another engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(_hasty):
        yield


def _hasty(spec: Document) -> None:
    [engine] = spec["containers"]
    del engine["lifecycle"]
    engine["args"].append("--shutdown-timeout=0")
