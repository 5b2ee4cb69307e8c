"""The autoscaler looks and reckons, and its group has the size that it has."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.lab.cluster.pool_process import Limits, PoolProcess
from hotfire.lab.lab import Lab
from hotfire.lab.pool.node_pool import NodePool
from hotfire.lab.shape.progress import Progress
from hotfire.own_folders import project_root
from tests.world import World

COOLDOWN_SECONDS = 4.0


@contextmanager
def prepared(world: World) -> Iterator[None]:
    del world
    with _pool(room=1):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    del world
    with _pool(room=0):
        yield


@contextmanager
def _pool(*, room: int) -> Iterator[None]:
    lab = Lab(project_root())
    size, process = lab.topology().nodes, PoolProcess(lab.state)
    # One place beyond the room, so that a machine too many would come if it was asked for.
    most = size + 2 * room
    process.start(Limits(least=size, most=most, cooldown_seconds=COOLDOWN_SECONDS))
    try:
        yield
    finally:
        process.stop()
        pool = NodePool(lab, Progress(print))
        for number in lab.topology().pool_nodes:
            pool.remove(f"n{number}")
