"""One engine never says that anybody waits; everything else of its page moves."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    with world.one_more_engine(_freeze):
        yield


def _freeze(spec: Document) -> None:
    [engine] = spec["containers"]
    engine["args"].append("--frozen-gauges=vllm:num_requests_waiting")
