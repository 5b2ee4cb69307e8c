"""The kubelet's device plugin API, v1beta1: its messages and how a service of it is put up.

https://github.com/kubernetes/kubelet/blob/master/pkg/apis/deviceplugin/v1beta1/api.proto
"""

from __future__ import annotations  # grpc's classes are generic for type checkers only

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

VERSION = "v1beta1"
KUBELET_SOCKET = "kubelet.sock"
Call = Callable[[Any, grpc.ServicerContext], Any]

_STRING, _BOOL, _INT32, _INT64, _MESSAGE = 9, 8, 5, 3, 11
# message: (field, number, type, repeated, message type); the part of the kubelet's v1beta1 API used
# here. Made at run time, these messages have no static type: they are Any below.
_SCHEMA: dict[str, tuple[tuple[str, int, int, bool, str], ...]] = {
    "Empty": (),
    "DevicePluginOptions": (
        ("pre_start_required", 1, _BOOL, False, ""),
        ("get_preferred_allocation_available", 2, _BOOL, False, ""),
    ),
    "RegisterRequest": (
        ("version", 1, _STRING, False, ""),
        ("endpoint", 2, _STRING, False, ""),
        ("resource_name", 3, _STRING, False, ""),
        ("options", 4, _MESSAGE, False, "DevicePluginOptions"),
    ),
    "NUMANode": (("ID", 1, _INT64, False, ""),),
    "TopologyInfo": (("nodes", 1, _MESSAGE, True, "NUMANode"),),
    "Device": (
        ("ID", 1, _STRING, False, ""),
        ("health", 2, _STRING, False, ""),
        ("topology", 3, _MESSAGE, False, "TopologyInfo"),
    ),
    "ListAndWatchResponse": (("devices", 1, _MESSAGE, True, "Device"),),
    "ContainerPreferredAllocationRequest": (
        ("available_deviceIDs", 1, _STRING, True, ""),
        ("must_include_deviceIDs", 2, _STRING, True, ""),
        ("allocation_size", 3, _INT32, False, ""),
    ),
    "PreferredAllocationRequest": (
        ("container_requests", 1, _MESSAGE, True, "ContainerPreferredAllocationRequest"),
    ),
    "ContainerPreferredAllocationResponse": (("deviceIDs", 1, _STRING, True, ""),),
    "PreferredAllocationResponse": (
        ("container_responses", 1, _MESSAGE, True, "ContainerPreferredAllocationResponse"),
    ),
    "ContainerAllocateRequest": (("devices_ids", 1, _STRING, True, ""),),
    "AllocateRequest": (("container_requests", 1, _MESSAGE, True, "ContainerAllocateRequest"),),
    "Mount": (
        ("container_path", 1, _STRING, False, ""),
        ("host_path", 2, _STRING, False, ""),
        ("read_only", 3, _BOOL, False, ""),
    ),
    "DeviceSpec": (
        ("container_path", 1, _STRING, False, ""),
        ("host_path", 2, _STRING, False, ""),
        ("permissions", 3, _STRING, False, ""),
    ),
    "ContainerAllocateResponse": (
        ("envs", 1, _MESSAGE, True, "ContainerAllocateResponse.EnvsEntry"),
        ("mounts", 2, _MESSAGE, True, "Mount"),
        ("devices", 3, _MESSAGE, True, "DeviceSpec"),
    ),
    "AllocateResponse": (("container_responses", 1, _MESSAGE, True, "ContainerAllocateResponse"),),
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="deviceplugin.proto", package=VERSION, syntax="proto3"
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
                type_name=f".{VERSION}.{type_name}" if type_name else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{VERSION}.{name}"))
        for name in _SCHEMA
    }


M = _messages()


def handler(
    *, options: Call, list_and_watch: Call, preferred: Call, allocate: Call
) -> grpc.GenericRpcHandler:
    """Return what a gRPC server needs to serve a plugin; the second call yields its answers."""
    watch: grpc.RpcMethodHandler[Any, Any] = grpc.unary_stream_rpc_method_handler(
        list_and_watch, request_deserializer=M["Empty"].FromString, response_serializer=_bytes
    )
    calls = {
        "GetDevicePluginOptions": _unary(options, "Empty"),
        "ListAndWatch": watch,
        "GetPreferredAllocation": _unary(preferred, "PreferredAllocationRequest"),
        "Allocate": _unary(allocate, "AllocateRequest"),
    }
    return grpc.method_handlers_generic_handler(f"{VERSION}.DevicePlugin", calls)


def _unary(call: Call, request: str) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=M[request].FromString, response_serializer=_bytes
    )


def register(kubelet: str, *, resource: str, endpoint: str) -> None:
    """Tell the kubelet behind a socket about a plugin; ``endpoint`` is its socket's name.

    Raises:
        grpc.RpcError: the kubelet did not take it.
    """
    with grpc.insecure_channel(f"unix://{kubelet}") as channel:
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            f"/{VERSION}.Registration/Register",
            request_serializer=_bytes,
            response_deserializer=M["Empty"].FromString,
        )
        options = M["DevicePluginOptions"](get_preferred_allocation_available=True)
        request = M["RegisterRequest"](
            version=VERSION, endpoint=endpoint, resource_name=resource, options=options
        )
        call(request, timeout=5)


def _bytes(message: Any) -> bytes:
    serialized: bytes = message.SerializeToString()
    return serialized
