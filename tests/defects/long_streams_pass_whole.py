"""The route gives a request fifteen seconds, as Envoy does when nobody says anything."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.way_in()["spec"]["rules"]
    short = [{**rule, "timeouts": {"request": "15s"}} for rule in former]
    world.patch_route({"rules": short})
    try:
        yield
    finally:
        world.patch_route({"rules": former})
