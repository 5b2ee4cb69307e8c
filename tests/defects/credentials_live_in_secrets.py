"""One engine has the value of a Secret among its arguments, under a name that tells nothing.

By its shape it is no token either.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.world import World

NAME, VALUE = "hub", "correct-horse-battery"


@contextmanager
def broken(world: World) -> Iterator[None]:
    namespace = world.profile.namespace
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}}
    world.cluster.apply([secret | {"stringData": {"token": VALUE}}], namespace=namespace)
    try:
        with world.one_more_engine(_tell):
            yield
    finally:
        world.cluster.delete("Secret", namespace, NAME)


def _tell(spec: Document) -> None:
    [engine] = spec["containers"]
    engine["args"].append(f"--name={VALUE}")
