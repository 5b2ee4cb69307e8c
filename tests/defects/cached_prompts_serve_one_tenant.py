"""The gateway gives a salt, and everybody the same one: each prompt is cached for all tenants."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.tenants import guarded
from tests.world import World

prepared = guarded
OF_TENANT = "' .. tenant .. '"


@contextmanager
def broken(world: World) -> Iterator[None]:
    def salt_all_alike(document: Document) -> None:
        if document["kind"] == "EnvoyExtensionPolicy":
            [program] = document["spec"]["lua"]
            assert OF_TENANT in program["inline"]
            program["inline"] = program["inline"].replace(OF_TENANT, "everybody")

    with guarded(world, salt_all_alike):
        yield
