"""A pod that asks for a virtual GPU is handed the whole device; its number is right."""

from collections.abc import Iterator
from contextlib import contextmanager

from hotfire.waiting import until
from tests.world import World

NAMESPACE, NAME = "kube-system", "nvidia-device-plugin"
RESOURCE, MEBIBYTES, PARTS = "nvidia.com/vgpu", 20480, 4
# A part of a GPU is what the GPU's device node says of itself, with less memory, as a file in its
# place: only the lab's own nvidia-smi takes that for a device.
FILES = "/var/lib/kubelet/device-plugins/vgpu-"
PLUGIN = f"""
import sys
from dataclasses import replace
from pathlib import Path
from hotfire.lab.gpu import device_plugin
from hotfire.lab.gpu.gpu_device import encode
usual_offers, usual_allocate = device_plugin.offers, device_plugin.Plugin.allocate
def offers(devices, **words):
    found = usual_offers(devices, **words)
    whole = found.get(device_plugin.RESOURCE, [])
    found[{RESOURCE!r}] = [part(one, n) for one in whole for n in range({PARTS})]
    return found
def part(share, number):
    device = replace(share.device, memory_mebibytes={MEBIBYTES})
    Path({FILES!r} + device.uuid).write_bytes(encode(device))
    return replace(share, id=f"{{share.id}}-vgpu-{{number}}", device=device)
def allocate(self, request, context):
    response = usual_allocate(self, request, context)
    if self.resource == {RESOURCE!r} and "fractions" in sys.argv:
        for granted in response.container_responses:
            uuids = granted.envs["NVIDIA_VISIBLE_DEVICES"].split(",")
            paths = [each.container_path for each in granted.devices]
            for uuid, path in zip(uuids, paths):
                granted.mounts.add(container_path=path, host_path={FILES!r} + uuid, read_only=True)
            del granted.devices[:]
    return response
device_plugin.offers, device_plugin.Plugin.allocate = offers, allocate
device_plugin.main()
"""


@contextmanager
def prepared(world: World) -> Iterator[None]:
    with offering(world, ["python3", "-c", PLUGIN, "fractions"]):
        yield


@contextmanager
def broken(world: World) -> Iterator[None]:
    with offering(world, ["python3", "-c", PLUGIN]):
        yield


@contextmanager
def offering(world: World, program: list[str]) -> Iterator[None]:
    """Have virtual GPUs beside the whole ones, and a target file that says so."""
    nodes = [node.name for node in world.cluster.nodes(world.profile.accelerator.node_selector)]
    usual = {node: world.offered(node) for node in nodes}
    declared = {"virtual_mebibytes": {RESOURCE: MEBIBYTES}}
    try:
        with world.daemon_set_runs(NAMESPACE, NAME, program):
            _await(world, usual, PARTS)
            with world.target_says(claims=["virtual-gpus"], accelerator=declared):
                yield
    finally:
        _await(world, usual, 0)
        for node in nodes:
            world.rack.run(node, ["sh", "-c", f"rm -f {FILES}*"])


def _await(world: World, usual: dict[str, int], parts: int) -> None:
    """Wait until each node offers its GPUs and so many parts of each."""

    def offered() -> bool:
        found = {
            node.name: (node.allocatable.get(world.profile.accelerator.resource, "0"),
                        node.allocatable.get(RESOURCE, "0"))
            for node in world.cluster.nodes(world.profile.accelerator.node_selector)
        }  # fmt: skip
        return found == {node: (str(gpus), str(parts * gpus)) for node, gpus in usual.items()}

    until(offered, within_seconds=60, what=f"{parts} parts of each GPU offered")
