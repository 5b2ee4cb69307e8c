"""The driver for resource claims, over the wire, before a cluster that is a dictionary."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotfire.lab.gpu.dra_api import D, R
from hotfire.lab.gpu.dra_driver import DRIVER, Driver, cdi_specification, serve
from hotfire.lab.gpu.gpu_labels import labels
from hotfire.lab.gpu.gpus import GpuSharing

SLICE = f"/apis/resource.k8s.io/v1/resourceslices/n1-{DRIVER}"
CLAIM = "/apis/resource.k8s.io/v1/namespaces/stack/resourceclaims/one-gpu"
DEVICES = GpuSharing.parse("dra").devices(("GPU-a", "GPU-b"))


class Cluster:
    """Keeps documents by their paths, as an API server does."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        if body is None:
            return self.documents.get(path)
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
        version = len(self.documents)
        self.documents[path] = body | {"metadata": body["metadata"] | {"resourceVersion": version}}
        return self.documents[path]

    def allocate(self, driver: str, device: str) -> None:
        result = {"request": "gpu", "driver": driver, "pool": "n1", "device": device}
        allocation = {"devices": {"results": [result]}}
        metadata = {"uid": "u-1"}
        self.documents[CLAIM] = {"metadata": metadata, "status": {"allocation": allocation}}


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def driver(cluster: Cluster) -> Driver:
    return Driver(cluster, "n1", DEVICES)


@pytest.fixture
def sockets(driver: Driver, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    plugin, registry = tmp_path / "dra.sock", tmp_path / "reg.sock"
    servers = serve(driver, plugin, registry)
    yield plugin, registry
    for server in servers:
        server.stop(grace=0).wait(5)


def call(socket: Path, method: str, request: Any, answer: Any) -> Any:  # noqa: ANN401
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        rpc: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return answer.FromString(rpc(request.SerializeToString(), timeout=10))


def prepare(plugin: Path, uid: str = "u-1") -> Any:  # noqa: ANN401
    request = D["NodePrepareResourcesRequest"]()
    request.claims.add(namespace="stack", name="one-gpu", uid=uid)
    method = "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources"
    return call(plugin, method, request, D["NodePrepareResourcesResponse"]).claims[uid]


def offered(cluster: Cluster) -> list[str]:
    return [device["name"] for device in cluster.documents[SLICE]["spec"]["devices"]]


def test_kubelet_finds_the_driver_by_its_registration(sockets: tuple[Path, Path]) -> None:
    plugin, registry = sockets

    method = "/pluginregistration.Registration/GetInfo"
    info = call(registry, method, R["InfoRequest"](), R["PluginInfo"])

    assert (info.type, info.name, info.endpoint) == ("DRAPlugin", "gpu.nvidia.com", str(plugin))
    assert info.supported_versions == ["v1.DRAPlugin"]


def test_claim_gets_the_device_that_the_scheduler_allocated(
    cluster: Cluster, sockets: tuple[Path, Path]
) -> None:
    cluster.allocate(DRIVER, "gpu-1")

    prepared = prepare(sockets[0])

    [device] = prepared.devices
    assert device.cdi_device_ids == ["nvidia.com/gpu=GPU-b"]
    assert (device.pool_name, device.device_name) == ("n1", "gpu-1")
    assert not prepared.error


def test_devices_of_other_drivers_are_left_to_them(
    cluster: Cluster, sockets: tuple[Path, Path]
) -> None:
    cluster.allocate("nic.example.com", "gpu-1")

    assert not prepare(sockets[0]).devices


def test_claim_that_was_made_anew_is_refused(cluster: Cluster, sockets: tuple[Path, Path]) -> None:
    cluster.allocate(DRIVER, "gpu-1")

    assert "is another one or gone" in prepare(sockets[0], uid="u-2").error


def test_unprepare_answers_for_every_claim(sockets: tuple[Path, Path]) -> None:
    request = D["NodeUnprepareResourcesRequest"]()
    request.claims.add(namespace="stack", name="one-gpu", uid="u-1")

    method = "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources"
    answer = call(sockets[0], method, request, D["NodeUnprepareResourcesResponse"])

    assert list(answer.claims) == ["u-1"]


def test_gpu_at_fault_leaves_the_slice_and_comes_back(cluster: Cluster, driver: Driver) -> None:
    seen = []
    for faults in ((), ("GPU-a",), ()):
        driver.publish(faults)
        seen.append(offered(cluster))

    assert seen == [["gpu-0", "gpu-1"], ["gpu-1"], ["gpu-0", "gpu-1"]]
    assert cluster.documents[SLICE]["spec"]["pool"]["generation"] == 3


def test_slice_is_written_only_when_it_differs(cluster: Cluster, driver: Driver) -> None:
    driver.publish(())
    first = cluster.documents[SLICE]

    Driver(cluster, "n1", DEVICES).publish(())

    assert cluster.documents[SLICE] is first


def test_slice_that_a_kubelet_deleted_is_offered_again(cluster: Cluster, driver: Driver) -> None:
    driver.publish(())
    del cluster.documents[SLICE]

    driver.publish(())

    assert offered(cluster) == ["gpu-0", "gpu-1"]


def test_container_is_given_one_node_to_read() -> None:
    second = cdi_specification(DEVICES)["devices"][1]

    edits = second["containerEdits"]
    assert second["name"] == "GPU-b"
    assert edits["deviceNodes"] == [{"path": "/dev/nvidia1", "permissions": "r"}]
    assert edits["env"] == ["NVIDIA_VISIBLE_DEVICES=GPU-b"]


def test_node_offers_its_gpus_by_claim_or_by_number_but_not_both() -> None:
    sharing = GpuSharing.parse("dra")

    assert sharing.resources(2) == {}
    assert labels(sharing, 2)["nvidia.com/gpu.deploy.device-plugin"] == "false"
    assert labels(sharing, 2)["nvidia.com/dra-kubelet-plugin"] == "true"
