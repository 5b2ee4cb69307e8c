"""The lab's GPU device plugin: the real kubelet API over devices that are real device nodes.

Run in the DaemonSet ``nvidia-device-plugin``. Each ``/dev/nvidiaN`` of the node is a block device
whose first sector is the GPU's UUID; a container gets exactly the nodes it was allocated, so
isolation is the kernel's, not ours.
"""

from __future__ import annotations  # grpc's classes are generic for type checkers only

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

RESOURCE = "nvidia.com/gpu"
_DIRECTORY = Path("/var/lib/kubelet/device-plugins")
_HOST_DEVICES = Path("/host-dev")
_SOCKET = "hotfire-gpu.sock"
_KUBELET = "kubelet.sock"
_VERSION = "v1beta1"
_UUID_BYTES = 64
_POLL_SECONDS = 1.0
_log = logging.getLogger("device-plugin")

_STRING, _BOOL, _MESSAGE = 9, 8, 11
# message: (field, number, type, repeated, message type); the part of the kubelet's v1beta1 API used
# here. Made at run time, these messages have no static type: they are Any below.
_SCHEMA: dict[str, tuple[tuple[str, int, int, bool, str], ...]] = {
    "Empty": (),
    "DevicePluginOptions": (("pre_start_required", 1, _BOOL, False, ""),),
    "RegisterRequest": (
        ("version", 1, _STRING, False, ""),
        ("endpoint", 2, _STRING, False, ""),
        ("resource_name", 3, _STRING, False, ""),
        ("options", 4, _MESSAGE, False, "DevicePluginOptions"),
    ),
    "Device": (("ID", 1, _STRING, False, ""), ("health", 2, _STRING, False, "")),
    "ListAndWatchResponse": (("devices", 1, _MESSAGE, True, "Device"),),
    "ContainerAllocateRequest": (("devices_ids", 1, _STRING, True, ""),),
    "AllocateRequest": (("container_requests", 1, _MESSAGE, True, "ContainerAllocateRequest"),),
    "DeviceSpec": (
        ("container_path", 1, _STRING, False, ""),
        ("host_path", 2, _STRING, False, ""),
        ("permissions", 3, _STRING, False, ""),
    ),
    "ContainerAllocateResponse": (
        ("envs", 1, _MESSAGE, True, "ContainerAllocateResponse.EnvsEntry"),
        ("devices", 3, _MESSAGE, True, "DeviceSpec"),
    ),
    "AllocateResponse": (("container_responses", 1, _MESSAGE, True, "ContainerAllocateResponse"),),
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="deviceplugin.proto", package=_VERSION, syntax="proto3"
    )
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        if name == "ContainerAllocateResponse":
            entry = message.nested_type.add(name="EnvsEntry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=9, label=1)
            entry.field.add(name="value", number=2, type=9, label=1)
        for field, number, kind, repeated, type_name in fields:
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=3 if repeated else 1,
                type_name=f".{_VERSION}.{type_name}" if type_name else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_VERSION}.{name}"))
        for name in _SCHEMA
    }


M = _messages()


def gpus(devices: Path = _HOST_DEVICES) -> dict[str, Path]:
    """Return the node's GPUs: UUID to device node, in the order of their index."""
    found = {}
    for path in sorted(devices.glob("nvidia[0-9]*")):
        with path.open("rb") as device:
            found[device.read(_UUID_BYTES).rstrip(b"\0").decode()] = Path("/dev") / path.name
    return found


class Plugin:
    """The service the kubelet calls."""

    def __init__(self, devices: dict[str, Path]) -> None:
        self._devices = devices
        self.over = threading.Event()

    def options(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        return M["DevicePluginOptions"]()

    def list_and_watch(self, _request: Any, _context: grpc.ServicerContext) -> Iterator[Any]:
        rows = [M["Device"](ID=uuid, health="Healthy") for uuid in self._devices]
        yield M["ListAndWatchResponse"](devices=rows)
        self.over.wait()

    def allocate(self, request: Any, _context: grpc.ServicerContext) -> Any:
        response = M["AllocateResponse"]()
        for wanted in request.container_requests:
            granted = response.container_responses.add()
            granted.envs["NVIDIA_VISIBLE_DEVICES"] = ",".join(wanted.devices_ids)
            for uuid in wanted.devices_ids:
                path = str(self._devices[uuid])
                granted.devices.add(container_path=path, host_path=path, permissions="r")
        return response

    def handler(self) -> grpc.GenericRpcHandler:
        def unary(
            call: Callable[[Any, grpc.ServicerContext], Any], request: str
        ) -> grpc.RpcMethodHandler[Any, Any]:
            return grpc.unary_unary_rpc_method_handler(
                call,
                request_deserializer=M[request].FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )

        stream: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
            self.list_and_watch,
            request_deserializer=M["Empty"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        return grpc.method_handlers_generic_handler(
            f"{_VERSION}.DevicePlugin",
            {
                "GetDevicePluginOptions": unary(self.options, "Empty"),
                "ListAndWatch": stream,
                "Allocate": unary(self.allocate, "AllocateRequest"),
            },
        )


def register(directory: Path) -> None:
    """Tell the kubelet of this directory that we are here.

    Raises:
        grpc.RpcError: the kubelet did not take it.
    """
    with grpc.insecure_channel(f"unix://{directory / _KUBELET}") as channel:
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            f"/{_VERSION}.Registration/Register",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=M["Empty"].FromString,
        )
        request = M["RegisterRequest"](version=_VERSION, endpoint=_SOCKET, resource_name=RESOURCE)
        call(request, timeout=5)


def serve(plugin: Plugin, stop: threading.Event, directory: Path = _DIRECTORY) -> None:
    """Serve until told to stop, or until the kubelet restarted, which makes it forget us."""
    socket, kubelet = directory / _SOCKET, directory / _KUBELET
    socket.unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((plugin.handler(),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    registered_with = kubelet.stat().st_ino
    register(directory)
    _log.info("registered %s with the kubelet", RESOURCE)
    while not stop.wait(_POLL_SECONDS):
        # The kubelet empties this directory when it starts.
        if not socket.exists() or not kubelet.exists():
            break
        if kubelet.stat().st_ino != registered_with:
            break
    plugin.over.set()
    server.stop(grace=1)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    devices = gpus()
    _log.info("GPUs of this node: %s", ", ".join(devices) or "none")
    while not stop.is_set():
        try:
            serve(Plugin(devices), stop)
        except (grpc.RpcError, OSError) as error:
            _log.info("the kubelet is not there yet: %s", error)
        stop.wait(_POLL_SECONDS)


if __name__ == "__main__":
    main()
