"""The device plugin speaks the kubelet's API: over the wire, to a kubelet that only listens."""

import json
import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotfire.lab.gpu.device_api import M
from hotfire.lab.gpu.device_plugin import Plugin, offers, replicas, serve
from hotfire.lab.gpu.gpus import GpuSharing
from hotfire.waiting import until


def plugins(words: str, health: Path) -> list[Plugin]:
    sharing = GpuSharing.parse(words)
    found = offers(sharing.devices(("GPU-a", "GPU-b")), replicas=sharing.replicas, numa_nodes=2)
    return [Plugin(resource, shares, health) for resource, shares in found.items()]


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
def health(tmp_path: Path) -> Path:
    return tmp_path / "health"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "gpus.json"
    path.write_text("{}")
    return path


@pytest.fixture
def words(request: pytest.FixtureRequest) -> str:
    """How the node shares its GPUs; whole unless a test says otherwise."""
    given: str = getattr(request, "param", "whole")
    return given


@pytest.fixture
def serving(
    kubelet: Kubelet, words: str, health: Path, settings: Path
) -> Iterator[threading.Thread]:
    """Run the plugin as its pod does, until the test ends."""
    stop = threading.Event()
    where = {"directory": kubelet.directory, "settings": settings}
    thread = threading.Thread(target=serve, args=(plugins(words, health), stop), kwargs=where)
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


def allocate(kubelet: Kubelet, *containers: list[str]) -> list[Any]:
    request = M["AllocateRequest"]()
    for device_ids in containers:
        request.container_requests.add(devices_ids=device_ids)
    answer = call(kubelet, "Allocate", request.SerializeToString())
    return list(M["AllocateResponse"].FromString(answer).container_responses)


@pytest.mark.usefixtures("serving")
def test_plugin_registers_its_resource_and_socket(kubelet: Kubelet) -> None:
    request = kubelet.registered.get(timeout=10)

    assert (request.version, request.resource_name) == ("v1beta1", "nvidia.com/gpu")
    assert (kubelet.directory / request.endpoint).is_socket()


@contextmanager
def watching(kubelet: Kubelet) -> Iterator[Iterator[Any]]:
    """Follow what the plugin that registers first tells of its devices."""
    endpoint = kubelet.registered.get(timeout=10).endpoint
    with kubelet.channel(endpoint) as channel:
        rpc: grpc.UnaryStreamMultiCallable[bytes, Any] = channel.unary_stream(
            "/v1beta1.DevicePlugin/ListAndWatch",
            response_deserializer=M["ListAndWatchResponse"].FromString,
        )
        stream = rpc(b"", timeout=10)
        yield iter(stream)
        stream.cancel()


def told(stream: Iterator[Any]) -> dict[str, str]:
    return {device.ID: device.health for device in next(stream).devices}


@pytest.mark.usefixtures("serving")
def test_kubelet_is_told_of_every_gpu_as_healthy(kubelet: Kubelet) -> None:
    with watching(kubelet) as stream:
        assert told(stream) == {"GPU-a": "Healthy", "GPU-b": "Healthy"}


@pytest.mark.usefixtures("serving")
def test_gpus_lie_spread_over_the_numa_nodes(kubelet: Kubelet) -> None:
    with watching(kubelet) as stream:
        devices = next(stream).devices

    assert [[node.ID for node in device.topology.nodes] for device in devices] == [[0], [1]]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("words", ["whole", "time-slicing=2"], indirect=True)
def test_xid_makes_one_gpu_unhealthy_with_all_its_replicas(kubelet: Kubelet, health: Path) -> None:
    with watching(kubelet) as stream:
        before = told(stream)
        health.mkdir()
        (health / "GPU-b").write_text("79")
        broken = told(stream)
        (health / "GPU-b").unlink()
        after = told(stream)

    assert broken == {name: "Unhealthy" if "-b" in name else "Healthy" for name in before}
    assert set(before.values()) == {"Healthy"}
    assert after == before


@pytest.mark.usefixtures("serving")
def test_xid_that_a_program_caused_takes_no_gpu_away(kubelet: Kubelet, health: Path) -> None:
    with watching(kubelet) as stream:
        before = told(stream)
        health.mkdir()
        (health / "GPU-b").write_text("13")
        (health / "GPU-a").write_text("79")
        after = told(stream)

    changed = {name for name in before if after[name] != before[name]}
    assert changed
    assert all("-a" in name for name in changed)


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("words", ["mig=1g.10gb*2"], indirect=True)
def test_xid_of_a_gpu_makes_its_mig_instances_unhealthy(kubelet: Kubelet, health: Path) -> None:
    health.mkdir()
    (health / "GPU-a").write_text("79")
    with watching(kubelet) as stream:
        states = list(told(stream).values())

    assert states == ["Unhealthy", "Unhealthy", "Healthy", "Healthy"]


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("words", ["mig=3g.40gb+1g.10gb"], indirect=True)
def test_each_mig_profile_is_a_resource_of_its_own(kubelet: Kubelet) -> None:
    names = {kubelet.registered.get(timeout=10).resource_name for _ in range(2)}

    assert names == {"nvidia.com/mig-3g.40gb", "nvidia.com/mig-1g.10gb"}


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("words", ["mig=1g.10gb*2"], indirect=True)
def test_container_gets_the_node_of_its_mig_instance_only(kubelet: Kubelet) -> None:
    device = GpuSharing.parse("mig=1g.10gb*2").devices(("GPU-a", "GPU-b"))[3]

    [granted] = allocate(kubelet, [device.uuid])

    assert [each.host_path for each in granted.devices] == ["/dev/nvidia-caps/nvidia-cap2"]
    assert granted.envs["NVIDIA_VISIBLE_DEVICES"] == device.uuid


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("words", ["time-slicing=4"], indirect=True)
def test_replicas_of_one_gpu_are_one_device_to_a_container(kubelet: Kubelet) -> None:
    [granted] = allocate(kubelet, ["GPU-b::0", "GPU-b::3"])

    assert [each.host_path for each in granted.devices] == ["/dev/nvidia1"]
    assert granted.envs["NVIDIA_VISIBLE_DEVICES"] == "GPU-b"


@pytest.mark.usefixtures("serving")
@pytest.mark.parametrize("words", ["time-slicing=3"], indirect=True)
def test_replica_of_the_less_shared_gpu_is_preferred(kubelet: Kubelet) -> None:
    request = M["PreferredAllocationRequest"]()
    free = ["GPU-a::1", "GPU-b::0", "GPU-b::1", "GPU-b::2"]
    request.container_requests.add(available_deviceIDs=free, allocation_size=2)

    answer = M["PreferredAllocationResponse"].FromString(
        call(kubelet, "GetPreferredAllocation", request.SerializeToString())
    )

    assert answer.container_responses[0].deviceIDs == ["GPU-b::0", "GPU-b::1"]


@pytest.mark.usefixtures("serving")
def test_container_gets_the_nodes_of_its_gpus_and_their_names(kubelet: Kubelet) -> None:
    one, both = allocate(kubelet, ["GPU-b"], ["GPU-a", "GPU-b"])

    assert [device.host_path for device in one.devices] == ["/dev/nvidia1"]
    assert {device.permissions for device in both.devices} == {"r"}
    assert one.envs["NVIDIA_VISIBLE_DEVICES"] == "GPU-b"
    assert both.envs["NVIDIA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"


@pytest.mark.usefixtures("serving")
def test_container_sees_what_its_own_gpu_does_and_cannot_change_it(kubelet: Kubelet) -> None:
    [granted] = allocate(kubelet, ["GPU-b"])

    [mount] = granted.mounts
    assert (mount.host_path, mount.container_path) == ("/run/hotfire/gpus/GPU-b",) * 2
    assert mount.read_only


@pytest.mark.usefixtures("serving")
def test_unknown_gpu_is_not_granted(kubelet: Kubelet) -> None:
    with pytest.raises(grpc.RpcError):
        allocate(kubelet, ["GPU-z"])


@pytest.mark.usefixtures("serving")
def test_plugin_asks_for_no_call_before_a_container_starts(kubelet: Kubelet) -> None:
    options = M["DevicePluginOptions"].FromString(call(kubelet, "GetDevicePluginOptions", b""))

    assert not options.pre_start_required
    assert options.get_preferred_allocation_available


def test_plugin_ends_when_the_kubelet_restarts(kubelet: Kubelet, serving: threading.Thread) -> None:
    kubelet.registered.get(timeout=10)

    # A starting kubelet empties the directory.
    (kubelet.directory / "hotfire-gpu.sock").unlink()

    until(lambda: not serving.is_alive(), within_seconds=10, what="the plugin at its end")


def test_plugin_starts_over_when_its_settings_change(
    kubelet: Kubelet, serving: threading.Thread, settings: Path
) -> None:
    kubelet.registered.get(timeout=10)

    settings.write_text('{"version": "v1"}')

    until(lambda: not serving.is_alive(), within_seconds=10, what="the plugin at its end")


def test_absent_kubelet_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        serve(plugins("whole", tmp_path), threading.Event(), directory=tmp_path)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        # Field numbers of k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto.
        (
            M["RegisterRequest"](version="v", endpoint="e", resource_name="r"),
            b"\x0a\x01v\x12\x01e\x1a\x01r",
        ),
        (
            M["Device"](
                ID="i", health="h", topology=M["TopologyInfo"](nodes=[M["NUMANode"](ID=1)])
            ),
            b"\x0a\x01i\x12\x01h\x1a\x04\x0a\x02\x08\x01",
        ),
        (
            M["Mount"](container_path="c", host_path="h", read_only=True),
            b"\x0a\x01c\x12\x01h\x18\x01",
        ),
        (
            M["ContainerPreferredAllocationRequest"](
                available_deviceIDs=["a"], must_include_deviceIDs=["m"], allocation_size=2
            ),
            b"\x0a\x01a\x12\x01m\x18\x02",
        ),
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


def test_settings_of_a_node_name_its_replicas(tmp_path: Path) -> None:
    path = tmp_path / "gpus.json"
    for words, number in (("whole", 1), ("time-slicing=4", 4), ("mig=1g.10gb", 1)):
        path.write_text(json.dumps(GpuSharing.parse(words).plugin_config()))

        assert replicas(path) == number


def test_node_without_gpus_offers_nothing() -> None:
    assert offers([]) == {}
