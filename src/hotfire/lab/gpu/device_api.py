"""The kubelet's device plugin API, v1beta1: its messages and how a service of it is put up.

https://github.com/kubernetes/kubelet/blob/master/pkg/apis/deviceplugin/v1beta1/api.proto
"""

from __future__ import annotations  # grpc's classes are generic for type checkers only

from collections.abc import Callable
from typing import Any

import grpc

from hotfire.lab.gpu.messages import BOOL, INT32, INT64, MESSAGE, STRING, Field, make

VERSION = "v1beta1"
KUBELET_SOCKET = "kubelet.sock"
Call = Callable[[Any, grpc.ServicerContext], Any]

# The part of the API that is used here.
_SCHEMA: dict[str, tuple[Field, ...]] = {
    "Empty": (),
    "DevicePluginOptions": (
        ("pre_start_required", 1, BOOL, False, ""),
        ("get_preferred_allocation_available", 2, BOOL, False, ""),
    ),
    "RegisterRequest": (
        ("version", 1, STRING, False, ""),
        ("endpoint", 2, STRING, False, ""),
        ("resource_name", 3, STRING, False, ""),
        ("options", 4, MESSAGE, False, "DevicePluginOptions"),
    ),
    "NUMANode": (("ID", 1, INT64, False, ""),),
    "TopologyInfo": (("nodes", 1, MESSAGE, True, "NUMANode"),),
    "Device": (
        ("ID", 1, STRING, False, ""),
        ("health", 2, STRING, False, ""),
        ("topology", 3, MESSAGE, False, "TopologyInfo"),
    ),
    "ListAndWatchResponse": (("devices", 1, MESSAGE, True, "Device"),),
    "ContainerPreferredAllocationRequest": (
        ("available_deviceIDs", 1, STRING, True, ""),
        ("must_include_deviceIDs", 2, STRING, True, ""),
        ("allocation_size", 3, INT32, False, ""),
    ),
    "PreferredAllocationRequest": (
        ("container_requests", 1, MESSAGE, True, "ContainerPreferredAllocationRequest"),
    ),
    "ContainerPreferredAllocationResponse": (("deviceIDs", 1, STRING, True, ""),),
    "PreferredAllocationResponse": (
        ("container_responses", 1, MESSAGE, True, "ContainerPreferredAllocationResponse"),
    ),
    "ContainerAllocateRequest": (("devices_ids", 1, STRING, True, ""),),
    "AllocateRequest": (("container_requests", 1, MESSAGE, True, "ContainerAllocateRequest"),),
    "Mount": (
        ("container_path", 1, STRING, False, ""),
        ("host_path", 2, STRING, False, ""),
        ("read_only", 3, BOOL, False, ""),
    ),
    "DeviceSpec": (
        ("container_path", 1, STRING, False, ""),
        ("host_path", 2, STRING, False, ""),
        ("permissions", 3, STRING, False, ""),
    ),
    "ContainerAllocateResponse": (
        ("envs", 1, MESSAGE, True, "ContainerAllocateResponse.EnvsEntry"),
        ("mounts", 2, MESSAGE, True, "Mount"),
        ("devices", 3, MESSAGE, True, "DeviceSpec"),
    ),
    "ContainerAllocateResponse.EnvsEntry": (
        ("key", 1, STRING, False, ""),
        ("value", 2, STRING, False, ""),
    ),
    "AllocateResponse": (("container_responses", 1, MESSAGE, True, "ContainerAllocateResponse"),),
}


M = make(VERSION, _SCHEMA)


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
