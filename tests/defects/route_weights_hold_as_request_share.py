"""The canary gets ten percent where five were declared."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World


@contextmanager
def broken(world: World) -> Iterator[None]:
    former = world.stack.route()["spec"]["rules"]
    backends = [
        {**each, "weight": 10 if each["name"] == "canary" else 90}
        for each in former[0]["backendRefs"]
    ]
    world.patch_route({"rules": [{**former[0], "backendRefs": backends}]})
    try:
        yield
    finally:
        world.patch_route({"rules": former})
