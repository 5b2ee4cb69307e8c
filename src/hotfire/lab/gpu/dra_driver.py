"""The lab's driver for dynamic resource allocation: GPUs by claim instead of by number.

Run in the DaemonSet ``nvidia-dra-driver-gpu`` on nodes whose sharing is ``dra``. It publishes the
node's GPUs as a ResourceSlice and their device nodes as a CDI specification; containers get what
the scheduler allocated to their claims, injected by containerd.
"""

from __future__ import annotations  # grpc's classes are generic for type checkers only

import http.client
import json
import logging
import os
import signal
import ssl
import threading
from collections.abc import Collection
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol

import grpc

from hotfire.lab.gpu import dra_api
from hotfire.lab.gpu.dra_api import D, R
from hotfire.lab.gpu.gpu_device import HEALTH, LIVE, GpuDevice, scan, xids
from hotfire.lab.gpu.gpus import RESOURCE

DRIVER = "gpu.nvidia.com"
_HOST_DEVICES = Path("/host-dev")
_CDI = Path("/etc/cdi/nvidia.json")
_PLUGIN = Path("/var/lib/kubelet/plugins") / DRIVER / "dra.sock"
_REGISTRY = Path("/var/lib/kubelet/plugins_registry") / f"{DRIVER}-reg.sock"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_POLL_SECONDS = 1.0
_SECONDS = 5.0
_SLICES = "/apis/resource.k8s.io/v1/resourceslices"
Document = dict[str, Any]
_log = logging.getLogger("dra-driver")


class ApiServer(Protocol):
    """Where the documents are; an absent one is None."""

    def call(self, method: str, path: str, body: Document | None = None) -> Document | None: ...


class Api:
    """The API server as a pod reaches it: a JSON document per call, None for one that is absent."""

    def __init__(self) -> None:
        self._context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
        self._host = os.environ["KUBERNETES_SERVICE_HOST"]

    def call(self, method: str, path: str, body: Document | None = None) -> Document | None:
        """Return the answer.

        Raises:
            OSError: there was none, or it was a refusal.
        """
        token = (_ACCOUNT / "token").read_text(encoding="ascii")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection = http.client.HTTPSConnection(
            self._host, 443, timeout=_SECONDS, context=self._context
        )
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise OSError(f"{method} {path}: {answer.status} {text.decode()}")
        document: Document = json.loads(text)
        return document


def name_of(device: GpuDevice) -> str:
    """Return what a ResourceSlice calls a GPU."""
    return f"gpu-{device.index}"


def resource_slice(devices: Collection[GpuDevice], node: str) -> Document:
    """Return the first ResourceSlice that offers these GPUs of a node."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{DRIVER}"},
        "spec": {
            "driver": DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [_offer(device) for device in devices],
        },
    }


def _names(document: Document) -> list[str]:
    return [device["name"] for device in document["spec"]["devices"]]


def _offer(device: GpuDevice) -> Document:
    return {
        "name": name_of(device),
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": device.uuid},
            "index": {"int": device.index},
            "productName": {"string": device.name},
            "driverVersion": {"version": device.driver_version},
        },
        "capacity": {"memory": {"value": f"{device.memory_mebibytes}Mi"}},
    }


def cdi_specification(devices: Collection[GpuDevice]) -> Document:
    """Return what containerd does to a container that is given one of these GPUs."""
    return {
        "cdiVersion": "0.6.0",
        "kind": RESOURCE,
        "devices": [{"name": each.uuid, "containerEdits": _edits(each)} for each in devices],
    }


def _edits(device: GpuDevice) -> Document:
    live = str(LIVE / device.uuid)
    mount = {"hostPath": live, "containerPath": live, "options": ["rbind", "ro"]}
    return {
        "deviceNodes": [{"path": f"/dev/{device.node}", "permissions": "r"}],
        "env": [f"NVIDIA_VISIBLE_DEVICES={device.uuid}"],
        "mounts": [mount],
    }


class Driver:
    """What the kubelet calls, and what keeps the ResourceSlice true."""

    def __init__(self, cluster: ApiServer, node: str, devices: Collection[GpuDevice]) -> None:
        self._cluster = cluster
        self._node = node
        self._devices = {name_of(device): device for device in devices}

    def told(self, status: Any, _context: grpc.ServicerContext) -> Any:
        _log.info("registered with the kubelet: %s %s", status.plugin_registered, status.error)
        return R["RegistrationStatusResponse"]()

    def prepare(self, request: Any, _context: grpc.ServicerContext) -> Any:
        response = D["NodePrepareResourcesResponse"]()
        for claim in request.claims:
            try:
                response.claims[claim.uid].devices.extend(self._allocated(claim))
            except OSError as error:
                response.claims[claim.uid].error = str(error)
        return response

    def unprepare(self, request: Any, _context: grpc.ServicerContext) -> Any:
        response = D["NodeUnprepareResourcesResponse"]()
        for claim in request.claims:
            response.claims[claim.uid].SetInParent()
        return response

    def _allocated(self, claim: Any) -> list[Any]:
        path = f"/apis/resource.k8s.io/v1/namespaces/{claim.namespace}/resourceclaims/{claim.name}"
        found = self._cluster.call("GET", path)
        if found is None or found["metadata"]["uid"] != claim.uid:
            raise OSError(f"claim {claim.namespace}/{claim.name} is another one or gone")
        return [
            D["Device"](
                request_names=[result["request"]],
                pool_name=self._node,
                device_name=result["device"],
                cdi_device_ids=[f"{RESOURCE}={self._devices[result['device']].uuid}"],
            )
            for result in found["status"]["allocation"]["devices"]["results"]
            if (result["driver"], result["pool"]) == (DRIVER, self._node)
        ]

    def publish(self, faults: Collection[str]) -> None:
        """Offer the GPUs that are not at fault, unless just those are offered already.

        A kubelet that starts deletes its node's slices, so this is asked again and again.

        Raises:
            OSError: the API server did not take it.
        """
        healthy = [each for each in self._devices.values() if each.uuid not in faults]
        wanted = resource_slice(healthy, self._node)
        path = f"{_SLICES}/{wanted['metadata']['name']}"
        former = self._cluster.call("GET", path)
        if former is None:
            self._cluster.call("POST", _SLICES, wanted)
        elif _names(former) != _names(wanted):
            wanted["spec"]["pool"]["generation"] = former["spec"]["pool"]["generation"] + 1
            wanted["metadata"]["resourceVersion"] = former["metadata"]["resourceVersion"]
            self._cluster.call("PUT", path, wanted)
        else:
            return
        _log.info("published %s", ", ".join(map(name_of, healthy)) or "no GPU")


def serve(driver: Driver, plugin: Path = _PLUGIN, registry: Path = _REGISTRY) -> list[grpc.Server]:
    """Serve the kubelet's calls and be found by it."""
    handlers = {
        plugin: dra_api.service(prepare=driver.prepare, unprepare=driver.unprepare),
        registry: dra_api.registration(DRIVER, str(plugin), driver.told),
    }
    return [_served(socket, handler) for socket, handler in handlers.items()]


def _served(socket: Path, handler: grpc.GenericRpcHandler) -> grpc.Server:
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    return server


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    devices = list(scan(_HOST_DEVICES))
    _CDI.write_text(json.dumps(cdi_specification(devices)), encoding="utf-8")
    driver = Driver(Api(), os.environ["NODE_NAME"], devices)
    servers = serve(driver)
    while not stop.wait(_POLL_SECONDS):
        try:
            driver.publish(xids(HEALTH))
        except OSError as error:
            _log.warning("not published: %s", error)
    for server in servers:
        server.stop(grace=1)


if __name__ == "__main__":
    main()
