"""The lab's GPU device plugin: the real kubelet API over devices that are real device nodes.

Run in the DaemonSet ``nvidia-device-plugin``. What the node's settings say of sharing becomes
resources: whole GPUs, replicas of them, MIG instances. A container gets exactly the nodes it was
allocated, so isolation is the kernel's, not ours.
"""

from __future__ import annotations  # grpc's classes are generic for type checkers only

import json
import logging
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from hotfire.lab.gpu import device_api
from hotfire.lab.gpu.device_api import KUBELET_SOCKET, M
from hotfire.lab.gpu.gpu_device import HEALTH, LIVE, GpuDevice, broken, scan
from hotfire.lab.gpu.gpus import CONFIG, MIG_RESOURCE_PREFIX, RESOURCE

_DIRECTORY = Path("/var/lib/kubelet/device-plugins")
_HOST_DEVICES = Path("/host-dev")
_CONFIG = Path(CONFIG)
_NUMA_NODES = Path("/sys/devices/system/node")
# Between a replica's GPU and its number, as NVIDIA's plugin writes it.
_REPLICA = "::"
_POLL_SECONDS = 0.5
_log = logging.getLogger("device-plugin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One device in the kubelet's eyes: a GPU, a replica of one, or a MIG instance."""

    id: str
    device: GpuDevice
    numa_node: int


def offers(
    devices: Iterable[GpuDevice], *, replicas: int = 1, numa_nodes: int = 1
) -> dict[str, list[Share]]:
    """Return what a node's devices become, by resource; a GPU in MIG mode is no resource itself."""
    known = list(devices)
    gpus = 1 + max((device.index for device in known), default=0)
    found: dict[str, list[Share]] = {}
    for device in known:
        numa_node = device.index * numa_nodes // gpus
        if device.mig:
            share = Share(id=device.uuid, device=device, numa_node=numa_node)
            found.setdefault(MIG_RESOURCE_PREFIX + device.mig.profile, []).append(share)
        elif not device.mig_enabled:
            numbers = [f"{_REPLICA}{n}" for n in range(replicas)] if replicas > 1 else [""]
            found.setdefault(RESOURCE, []).extend(
                Share(id=device.uuid + number, device=device, numa_node=numa_node)
                for number in numbers
            )
    return found


def replicas(config: Path) -> int:
    """Return into how many replicas the settings cut each GPU."""
    rows = json.loads(config.read_text())["sharing"]["timeSlicing"]["resources"]
    return next((int(row["replicas"]) for row in rows if row["name"] == RESOURCE), 1)


class Plugin:
    """The service the kubelet calls for one resource."""

    def __init__(self, resource: str, shares: list[Share], health: Path = HEALTH) -> None:
        self.resource = resource
        self.endpoint = f"hotfire-{resource.rpartition('/')[2]}.sock"
        self.over = threading.Event()
        self._shares = {share.id: share for share in shares}
        self._health = health

    def options(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        return M["DevicePluginOptions"](get_preferred_allocation_available=True)

    def list_and_watch(self, _request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        told: dict[str, int] | None = None
        while not self.over.is_set() and context.is_active():
            faults = self._faults()
            if faults != told:
                self._tell_log(told or {}, faults)
                yield M["ListAndWatchResponse"](devices=[*self._rows(faults)])
                told = faults
            self.over.wait(_POLL_SECONDS)

    def _faults(self) -> dict[str, int]:
        mine = {share.device.gpu for share in self._shares.values()}
        return {gpu: xid for gpu, xid in broken(self._health).items() if gpu in mine}

    def _tell_log(self, before: dict[str, int], now: dict[str, int]) -> None:
        for gpu in now.keys() - before.keys():
            _log.warning("%s: Xid %d on %s: unhealthy", self.resource, now[gpu], gpu)
        for gpu in before.keys() - now.keys():
            _log.info("%s: %s is healthy again", self.resource, gpu)

    def _rows(self, faults: dict[str, int]) -> Iterator[Any]:
        for share in self._shares.values():
            health = "Unhealthy" if share.device.gpu in faults else "Healthy"
            topology = M["TopologyInfo"](nodes=[M["NUMANode"](ID=share.numa_node)])
            yield M["Device"](ID=share.id, health=health, topology=topology)

    def preferred(self, request: Any, _context: grpc.ServicerContext) -> Any:
        """Prefer the GPU with the most free replicas, so that sharing starts as late as it can."""
        response = M["PreferredAllocationResponse"]()
        for wanted in request.container_requests:
            chosen = list(wanted.must_include_deviceIDs)
            free = [one for one in wanted.available_deviceIDs if one not in chosen]
            while free and len(chosen) < wanted.allocation_size:
                left = Counter(self._shares[one].device.gpu for one in free)
                best = max(free, key=lambda one: left[self._shares[one].device.gpu])
                free.remove(best)
                chosen.append(best)
            response.container_responses.add(deviceIDs=chosen)
        return response

    def allocate(self, request: Any, _context: grpc.ServicerContext) -> Any:
        response = M["AllocateResponse"]()
        for wanted in request.container_requests:
            granted = response.container_responses.add()
            # Two replicas of one GPU are one device.
            devices = {
                self._shares[one].device.uuid: self._shares[one].device
                for one in wanted.devices_ids
            }
            granted.envs["NVIDIA_VISIBLE_DEVICES"] = ",".join(devices)
            for uuid, device in devices.items():
                path, live = f"/dev/{device.node}", str(LIVE / uuid)
                granted.devices.add(container_path=path, host_path=path, permissions="r")
                granted.mounts.add(container_path=live, host_path=live, read_only=True)
        return response


def serve(
    plugins: list[Plugin],
    stop: threading.Event,
    *,
    directory: Path = _DIRECTORY,
    settings: Path = _CONFIG,
) -> None:
    """Serve until told to stop, until the settings change, or until the kubelet forgets us.

    It does when it starts: it empties its directory and makes its socket anew.
    """
    kubelet = directory / KUBELET_SOCKET
    kubelet.stat()
    with ExitStack() as servers:
        for plugin in plugins:
            servers.enter_context(_served(plugin, directory / plugin.endpoint))
        watched = [kubelet, settings, *(directory / plugin.endpoint for plugin in plugins)]
        before = list(map(_identity, watched))
        for plugin in plugins:
            device_api.register(str(kubelet), resource=plugin.resource, endpoint=plugin.endpoint)
            _log.info("registered %s with the kubelet", plugin.resource)
        while not stop.wait(_POLL_SECONDS):
            if list(map(_identity, watched)) != before:
                break


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


@contextmanager
def _served(plugin: Plugin, socket: Path) -> Iterator[None]:
    socket.unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=3))
    handler = device_api.handler(
        options=plugin.options,
        list_and_watch=plugin.list_and_watch,
        preferred=plugin.preferred,
        allocate=plugin.allocate,
    )
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    try:
        yield
    finally:
        plugin.over.set()
        server.stop(grace=1)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    numa_nodes = len(list(_NUMA_NODES.glob("node[0-9]*"))) or 1
    while not stop.is_set():
        try:
            found = offers(scan(_HOST_DEVICES), replicas=replicas(_CONFIG), numa_nodes=numa_nodes)
            for resource, shares in found.items():
                _log.info("%s: %s", resource, ", ".join(share.id for share in shares))
            serve([Plugin(resource, shares) for resource, shares in found.items()], stop)
        except (grpc.RpcError, OSError) as error:
            _log.info("the kubelet or a device is not there yet: %s", error)
        stop.wait(_POLL_SECONDS)


if __name__ == "__main__":
    main()
