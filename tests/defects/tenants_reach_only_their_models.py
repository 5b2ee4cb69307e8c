"""Whoever is known may ask for anything: the credential is verified, the list of models is not."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.cluster import Document
from tests.tenants import guarded
from tests.world import World

PROGRAM = "authorizer.py"
LOOKS = "return _about_model(tenant, body) if body else PASS"


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with guarded(world):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    def pass_all(document: Document) -> None:
        if PROGRAM in (data := document.get("data", {})):
            assert LOOKS in data[PROGRAM]
            data[PROGRAM] = data[PROGRAM].replace(LOOKS, "return PASS")

    with guarded(world, pass_all):
        yield
