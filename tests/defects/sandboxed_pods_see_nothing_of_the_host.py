"""A RuntimeClass bears the sandbox's name, and maps to the plain runtime.

Its pods have namespaces of their own: of processes, of mounts and of the network.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.sandboxes import API
from tests.added import added
from tests.world import World

ADD_ON, NAME, PLAIN = "gvisor", "gvisor-by-name", "runc"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    del world
    with added(ADD_ON):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    document = {"apiVersion": API, "kind": "RuntimeClass", "metadata": {"name": NAME}}
    world.cluster.create({**document, "handler": PLAIN})
    try:
        with world.target_says(sandboxes=[NAME]):
            yield
    finally:
        world.cluster.delete("RuntimeClass", None, NAME, api_version=API)
