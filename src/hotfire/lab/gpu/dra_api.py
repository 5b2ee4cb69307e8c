"""The kubelet's API for dynamic resource allocation, v1, and how its drivers register.

https://github.com/kubernetes/kubelet/blob/master/pkg/apis/dra/v1/api.proto
https://github.com/kubernetes/kubelet/blob/master/pkg/apis/pluginregistration/v1/api.proto
"""

from collections.abc import Callable
from typing import Any

import grpc

from hotfire.lab.gpu.messages import BOOL, MESSAGE, STRING, make

_DRA = "k8s.io.kubelet.pkg.apis.dra.v1"
_REGISTRATION = "pluginregistration"
Call = Callable[[Any, grpc.ServicerContext], Any]

R = make(
    _REGISTRATION,
    {
        "InfoRequest": (),
        "PluginInfo": (
            ("type", 1, STRING, False, ""),
            ("name", 2, STRING, False, ""),
            ("endpoint", 3, STRING, False, ""),
            ("supported_versions", 4, STRING, True, ""),
        ),
        "RegistrationStatus": (
            ("plugin_registered", 1, BOOL, False, ""),
            ("error", 2, STRING, False, ""),
        ),
        "RegistrationStatusResponse": (),
    },
)
D = make(
    _DRA,
    {
        "Claim": (
            ("namespace", 1, STRING, False, ""),
            ("uid", 2, STRING, False, ""),
            ("name", 3, STRING, False, ""),
        ),
        "Device": (
            ("request_names", 1, STRING, True, ""),
            ("pool_name", 2, STRING, False, ""),
            ("device_name", 3, STRING, False, ""),
            ("cdi_device_ids", 4, STRING, True, ""),
        ),
        "NodePrepareResourcesRequest": (("claims", 1, MESSAGE, True, "Claim"),),
        "NodePrepareResourceResponse": (
            ("devices", 1, MESSAGE, True, "Device"),
            ("error", 2, STRING, False, ""),
        ),
        "NodePrepareResourcesResponse": (
            ("claims", 1, MESSAGE, True, "NodePrepareResourcesResponse.ClaimsEntry"),
        ),
        "NodePrepareResourcesResponse.ClaimsEntry": (
            ("key", 1, STRING, False, ""),
            ("value", 2, MESSAGE, False, "NodePrepareResourceResponse"),
        ),
        "NodeUnprepareResourcesRequest": (("claims", 1, MESSAGE, True, "Claim"),),
        "NodeUnprepareResourceResponse": (("error", 1, STRING, False, ""),),
        "NodeUnprepareResourcesResponse": (
            ("claims", 1, MESSAGE, True, "NodeUnprepareResourcesResponse.ClaimsEntry"),
        ),
        "NodeUnprepareResourcesResponse.ClaimsEntry": (
            ("key", 1, STRING, False, ""),
            ("value", 2, MESSAGE, False, "NodeUnprepareResourceResponse"),
        ),
    },
)


def registration(driver: str, endpoint: str, told: Call) -> grpc.GenericRpcHandler:
    """Return the service a kubelet finds a driver by; ``told`` hears what came of it."""
    info = R["PluginInfo"](
        type="DRAPlugin", name=driver, endpoint=endpoint, supported_versions=["v1.DRAPlugin"]
    )
    calls = {
        "GetInfo": _unary(lambda _request, _context: info, R["InfoRequest"]),
        "NotifyRegistrationStatus": _unary(told, R["RegistrationStatus"]),
    }
    return grpc.method_handlers_generic_handler(f"{_REGISTRATION}.Registration", calls)


def service(*, prepare: Call, unprepare: Call) -> grpc.GenericRpcHandler:
    """Return the service that a kubelet calls before a pod starts and after it ended."""
    calls = {
        "NodePrepareResources": _unary(prepare, D["NodePrepareResourcesRequest"]),
        "NodeUnprepareResources": _unary(unprepare, D["NodeUnprepareResourcesRequest"]),
    }
    return grpc.method_handlers_generic_handler(f"{_DRA}.DRAPlugin", calls)


def _unary(call: Call, request: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=request.FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
