"""The device plugin speaks the kubelet's API: over the wire, to a kubelet that only listens."""

import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotfire.lab import device_plugin
from hotfire.lab.device_plugin import M, Plugin, gpus, serve
from hotfire.waiting import until

DEVICES = {"GPU-a": Path("/dev/nvidia0"), "GPU-b": Path("/dev/nvidia1")}


class Kubelet:
    """The kubelet's side: takes registrations and calls who registered."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registered: queue.Queue[Any] = queue.Queue()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        rpc: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            self._register,
            request_deserializer=M["RegisterRequest"].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        service = grpc.method_handlers_generic_handler("v1beta1.Registration", {"Register": rpc})
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(f"unix://{directory}/kubelet.sock")
        self._server.start()

    def _register(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: ANN401
        self.registered.put(request)
        return M["Empty"]()

    @contextmanager
    def channel(self, endpoint: str) -> Iterator[grpc.Channel]:
        with grpc.insecure_channel(f"unix://{self.directory}/{endpoint}") as channel:
            yield channel

    def stop(self) -> None:
        self._server.stop(grace=0).wait()


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    kubelet = Kubelet(tmp_path)
    yield kubelet
    kubelet.stop()


@pytest.fixture
def serving(kubelet: Kubelet) -> Iterator[threading.Thread]:
    """Run the plugin as its pod does, until the test ends."""
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(Plugin(DEVICES), stop, kubelet.directory))
    thread.start()
    yield thread
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def call(kubelet: Kubelet, method: str, request: bytes) -> bytes:
    endpoint = kubelet.registered.get(timeout=10).endpoint
    with kubelet.channel(endpoint) as channel:
        rpc: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/v1beta1.DevicePlugin/{method}"
        )
        return rpc(request, timeout=10)


@pytest.mark.usefixtures("serving")
def test_plugin_registers_its_resource_and_socket(kubelet: Kubelet) -> None:
    request = kubelet.registered.get(timeout=10)

    assert (request.version, request.resource_name) == ("v1beta1", "nvidia.com/gpu")
    assert (kubelet.directory / request.endpoint).is_socket()


@pytest.mark.usefixtures("serving")
def test_kubelet_is_told_of_every_gpu_as_healthy(kubelet: Kubelet) -> None:
    endpoint = kubelet.registered.get(timeout=10).endpoint
    with kubelet.channel(endpoint) as channel:
        rpc: grpc.UnaryStreamMultiCallable[bytes, Any] = channel.unary_stream(
            "/v1beta1.DevicePlugin/ListAndWatch",
            response_deserializer=M["ListAndWatchResponse"].FromString,
        )
        stream = rpc(b"", timeout=10)
        devices = next(iter(stream)).devices
        stream.cancel()

    rows = [(device.ID, device.health) for device in devices]
    assert rows == [("GPU-a", "Healthy"), ("GPU-b", "Healthy")]


@pytest.mark.usefixtures("serving")
def test_container_gets_the_nodes_of_its_gpus_and_their_names(kubelet: Kubelet) -> None:
    request = M["AllocateRequest"]()
    request.container_requests.add(devices_ids=["GPU-b"])
    request.container_requests.add(devices_ids=["GPU-a", "GPU-b"])

    answer = M["AllocateResponse"].FromString(
        call(kubelet, "Allocate", request.SerializeToString())
    )

    one, both = answer.container_responses
    assert [device.host_path for device in one.devices] == ["/dev/nvidia1"]
    assert {device.permissions for device in both.devices} == {"r"}
    assert one.envs["NVIDIA_VISIBLE_DEVICES"] == "GPU-b"
    assert both.envs["NVIDIA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"


@pytest.mark.usefixtures("serving")
def test_unknown_gpu_is_not_granted(kubelet: Kubelet) -> None:
    request = M["AllocateRequest"]()
    request.container_requests.add(devices_ids=["GPU-z"])

    with pytest.raises(grpc.RpcError):
        call(kubelet, "Allocate", request.SerializeToString())


@pytest.mark.usefixtures("serving")
def test_plugin_asks_for_no_call_before_a_container_starts(kubelet: Kubelet) -> None:
    assert call(kubelet, "GetDevicePluginOptions", b"") == b""


def test_plugin_ends_when_the_kubelet_restarts(kubelet: Kubelet, serving: threading.Thread) -> None:
    kubelet.registered.get(timeout=10)

    # A starting kubelet empties the directory.
    (kubelet.directory / "hotfire-gpu.sock").unlink()

    until(lambda: not serving.is_alive(), within_seconds=10, what="the plugin at its end")


def test_absent_kubelet_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        serve(Plugin(DEVICES), threading.Event(), tmp_path)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        # Field numbers of k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto.
        (
            M["RegisterRequest"](version="v", endpoint="e", resource_name="r"),
            b"\x0a\x01v\x12\x01e\x1a\x01r",
        ),
        (M["Device"](ID="i", health="h"), b"\x0a\x01i\x12\x01h"),
        (M["ContainerAllocateRequest"](devices_ids=["a", "b"]), b"\x0a\x01a\x0a\x01b"),
        (
            M["DeviceSpec"](container_path="c", host_path="h", permissions="r"),
            b"\x0a\x01c\x12\x01h\x1a\x01r",
        ),
        (
            M["ContainerAllocateResponse"](envs={"k": "v"}, devices=[M["DeviceSpec"]()]),
            b"\x0a\x06\x0a\x01k\x12\x01v\x1a\x00",
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_messages_have_the_kubelets_field_numbers(message: Any, wire: bytes) -> None:  # noqa: ANN401
    assert message.SerializeToString(deterministic=True) == wire


def test_gpus_are_read_from_their_first_sector_in_order(tmp_path: Path) -> None:
    for index, uuid in ((1, "GPU-b"), (0, "GPU-a")):
        (tmp_path / f"nvidia{index}").write_bytes(uuid.encode().ljust(4096, b"\0"))
    (tmp_path / "nvidiactl").touch()

    found = gpus(tmp_path)

    assert list(found.items()) == [
        ("GPU-a", Path("/dev/nvidia0")),
        ("GPU-b", Path("/dev/nvidia1")),
    ]


def test_node_without_gpus_registers_none(tmp_path: Path) -> None:
    assert device_plugin.gpus(tmp_path) == {}
