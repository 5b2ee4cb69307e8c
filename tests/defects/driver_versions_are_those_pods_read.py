"""One node of three still says which driver it had before its upgrade, in every label of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

VENDOR = "nvidia.com/"
FORMER = {
    "cuda.driver.major": "570",
    "cuda.driver.minor": "86",
    "cuda.driver.rev": "15",
    "cuda.driver-version.full": "570.86.15",
    "cuda.driver-version.major": "570",
    "cuda.driver-version.minor": "86",
    "cuda.driver-version.revision": "15",
}


@contextmanager
def broken(world: World) -> Iterator[None]:
    *_, node = world.cluster.nodes(world.profile.accelerator.node_selector)
    world.label(node.name, {VENDOR + key: value for key, value in FORMER.items()})
    try:
        yield
    finally:
        world.label(node.name, {VENDOR + key: node.labels[VENDOR + key] for key in FORMER})
