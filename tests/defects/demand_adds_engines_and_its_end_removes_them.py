"""The metric asks for pods of a former name: it reads zero, as on a quiet night, whatever comes."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.scaled import scaled
from tests.world import World

prepared = scaled


@contextmanager
def broken(world: World) -> Iterator[None]:
    with scaled(world, _of_nobody):
        yield


def _of_nobody(spec: Document) -> None:
    [trigger] = spec["triggers"]
    query = trigger["metadata"]["query"].replace("vllm-.+", "engine-.+")
    trigger["metadata"] |= {"query": query, "ignoreNullValues": "true"}
