"""One engine pod gives running answers five seconds, where one may take six as promised.

The grace period is long enough for everything it waits for.
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
    option = "--shutdown-timeout="
    engine["args"] = [f"{option}5" if word.startswith(option) else word for word in engine["args"]]
