"""Three members of etcd, two of which stand in one rack."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.shape.topology import Topology
from tests.world import World

TOPOLOGY = Topology(control_planes=3)
"""Another lab than the usual one, which has one member."""


@contextmanager
def broken(world: World) -> Iterator[None]:
    racks = world.profile.control_plane.racks
    moved = {name: racks["cp1"] if name == "cp2" else rack for name, rack in racks.items()}
    with world.target_says(control_plane={"racks": moved}):
        yield
