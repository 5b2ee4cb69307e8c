"""The device plugin takes one failed GPU for the failure of its whole node."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.world import World

NAMESPACE, NAME = "kube-system", "nvidia-device-plugin"
PLUGIN = """
from hotfire.lab.gpu import device_plugin
one = device_plugin.xids
def every(directory):
    found = one(directory)
    uuids = [each.uuid for each in device_plugin.scan(device_plugin._HOST_DEVICES)]
    return dict.fromkeys(uuids, 79) if found else {}
device_plugin.xids = every
device_plugin.main()
"""


@contextmanager
def broken(world: World) -> Iterator[None]:
    offered = _offered(world)
    try:
        with world.daemon_set_runs(NAMESPACE, NAME, ["python3", "-c", PLUGIN]):
            _await(world, offered)
            yield
    finally:
        _await(world, offered)


def _offered(world: World) -> dict[str, int]:
    return {node.name: world.offered(node.name) for node in world.cluster.nodes()}


def _await(world: World, offered: dict[str, int]) -> None:
    until(lambda: _offered(world) == offered, within_seconds=60, what=f"{offered} GPUs offered")
