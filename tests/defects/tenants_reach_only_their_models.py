"""Whoever is known may ask for anything: the credential is verified, the list of models is not."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.overlays import rewritten
from tests.tenants import guarded
from tests.world import World

prepared = guarded
LOOKS = "return _about_model(tenant, body) if body else PASS"


@contextmanager
def broken(world: World) -> Iterator[None]:
    with guarded(world, rewritten("authorizer.py", LOOKS, "return PASS")):
        yield
