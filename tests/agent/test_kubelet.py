"""The hand-made gRPC call against a real gRPC server."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hotfire.agent.host import Host, OperationError
from hotfire.agent.kubelet import SOCKET, pod_resources


def field(number: int, value: bytes) -> bytes:
    """Return one length-delimited protobuf field; lengths here stay below 2^21."""
    length = len(value)
    size = b""
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + value


def pod(name: str, *device_ids: str) -> bytes:
    ids = b"".join(field(2, one.encode()) for one in device_ids)
    # Field 3 of a device is its topology, field 3 of a container its packed CPU ids.
    device = field(1, b"nvidia.com/gpu") + ids + field(3, b"\x08\x01")
    container = field(1, b"vllm") + field(2, device) + field(3, b"\x01\x02")
    return field(1, name.encode()) + field(2, b"stack") + field(3, container)


class Kubelet(grpc.GenericRpcHandler):
    """Answers List with the given bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if details.method != "/v1.PodResourcesLister/List":
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.answer)


@pytest.fixture
def host() -> Iterator[Host]:
    # A socket's path may have 107 characters, and a test's own folder can be deeper than that.
    with tempfile.TemporaryDirectory() as folder:
        yield Host(prefix=(), root=Path(folder))


@pytest.fixture
def kubelet(host: Host) -> Iterator[Kubelet]:
    path = host.path(SOCKET)
    path.parent.mkdir(parents=True)
    server = grpc.server(ThreadPoolExecutor(1))
    kubelet = Kubelet(b"")
    server.add_generic_rpc_handlers((kubelet,))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    yield kubelet
    server.stop(0).wait(5)


def test_devices_are_told_by_pod_and_container(host: Host, kubelet: Kubelet) -> None:
    kubelet.answer = field(1, pod("engine-0", "GPU-a", "GPU-b"))

    assert pod_resources(host) == [
        {
            "namespace": "stack",
            "pod": "engine-0",
            "container": "vllm",
            "resource": "nvidia.com/gpu",
            "device_ids": ["GPU-a", "GPU-b"],
        }
    ]


def test_devices_by_claim_are_listed_with_their_driver(host: Host, kubelet: Kubelet) -> None:
    cdi = field(1, field(1, b"nvidia.com/gpu=GPU-a"))
    part = cdi + field(2, b"gpu.nvidia.com") + field(3, b"n1") + field(4, b"gpu-0")
    claim = field(2, b"one-gpu-x7") + field(3, b"stack") + field(4, part)
    container = field(1, b"vllm") + field(5, claim)
    kubelet.answer = field(1, field(1, b"engine-0") + field(2, b"stack") + field(3, container))

    [row] = pod_resources(host)

    assert (row["resource"], row["device_ids"]) == ("gpu.nvidia.com", ["GPU-a"])


def test_an_answer_larger_than_every_default_window_arrives_whole(
    host: Host, kubelet: Kubelet
) -> None:
    kubelet.answer = b"".join(field(1, pod(f"engine-{n}", f"GPU-{n}")) for n in range(4000))

    rows = pod_resources(host)

    assert len(kubelet.answer) > 3 * 65535
    assert [row["device_ids"] for row in rows] == [[f"GPU-{n}"] for n in range(4000)]


def test_a_node_without_pods_has_no_rows(host: Host, kubelet: Kubelet) -> None:
    assert pod_resources(host) == []


def test_a_refusal_is_an_error_and_not_an_empty_list(host: Host, kubelet: Kubelet) -> None:
    kubelet.answer = None  # type: ignore[assignment]  # the server then answers with an error

    with pytest.raises(OperationError):
        pod_resources(host)


def test_a_node_without_kubelet_socket_is_an_error(host: Host) -> None:
    with pytest.raises(OperationError, match="does not answer"):
        pod_resources(host)
