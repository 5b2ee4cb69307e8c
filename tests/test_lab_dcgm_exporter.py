"""The exporter follows what containers really do, over a node made of plain files."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotfire.agent.host import Host
from hotfire.lab.gpu.dcgm_exporter import Collector, serve
from hotfire.lab.gpu.gpu_device import encode
from hotfire.lab.gpu.gpu_load import Holder, Load, Meter, Usage, holders, loads
from hotfire.lab.gpu.gpus import GpuSharing
from hotfire.metrics import Metrics, parse

CONTAINER, POD_UID = "c0ffee" * 10, "11111111-2222"


class Node:
    """A node's files as the exporter sees them: one container, whose cgroup can be set."""

    def __init__(self, root: Path, words: str) -> None:
        self.root, self.host = root, Host(prefix=(), root=root)
        self.devices = GpuSharing.parse(words).devices(("GPU-a", "GPU-b"))
        for device in self.devices:
            self.write(f"dev/{device.node}", encode(device))
        log = root / f"var/log/containers/engine-0_stack_vllm-{CONTAINER}.log"
        log.parent.mkdir(parents=True)
        log.symlink_to(f"/var/log/pods/stack_engine-0_{POD_UID}/vllm/0.log")
        self.use(processor_ns=0, memory_mebibytes=0)
        self.write(f"{self.group('cpu')}/cpu.cfs_quota_us", b"50000")
        self.write(f"{self.group('cpu')}/cpu.cfs_period_us", b"100000")

    def group(self, controller: str) -> str:
        return f"sys/fs/cgroup/{controller}/kubepods/burstable/pod{POD_UID}/{CONTAINER}"

    def use(self, *, processor_ns: int, memory_mebibytes: int) -> None:
        memory = str(memory_mebibytes << 20).encode()
        self.write(f"{self.group('memory')}/memory.usage_in_bytes", memory)
        self.write(f"{self.group('memory')}/cgroup.procs", b"17\n")
        self.write(f"{self.group('cpuacct')}/cpuacct.usage", str(processor_ns).encode())

    def write(self, path: str, content: bytes) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(content)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, "whole")


def scrape(collector: Collector) -> Metrics:
    collector.collect()
    return parse(collector.text)


def held_by(replica: str | None = None) -> list[Holder]:
    return [Holder(namespace="stack", pod="engine-0", container="vllm", replica=replica)]


def test_utilisation_is_processor_time_over_the_limit(node: Node) -> None:
    meter, held = Meter(node.host), {"GPU-a": held_by()}
    assert loads(held, meter.usages(held))["GPU-a"].utilization_percent == 0

    node.use(processor_ns=10**12, memory_mebibytes=812)
    load = loads(held, meter.usages(held))["GPU-a"]

    assert load.utilization_percent == 100
    assert (load.memory_used_mebibytes, load.processes) == (812, (17,))


def test_container_that_is_gone_uses_nothing(node: Node) -> None:
    meter, held = Meter(node.host), {"GPU-a": held_by()}
    meter.usages(held)
    for path in (node.root / "sys").rglob("*.*"):
        path.unlink()

    assert set(meter.usages(held).values()) == {Usage()}


def test_memory_of_a_container_is_spread_over_its_gpus() -> None:
    held = {"GPU-a": held_by(), "GPU-b": held_by()}

    found = loads(held, {held_by()[0]: Usage(busy_ratio=0.5, memory_bytes=100 << 20)})

    assert {load.memory_used_mebibytes for load in found.values()} == {50}
    assert {load.utilization_percent for load in found.values()} == {50}


def test_shared_gpu_does_what_all_its_containers_do() -> None:
    other = Holder(namespace="stack", pod="engine-1", container="vllm", replica="1")
    held = {"GPU-a": [*held_by("0"), other]}
    both = {
        held_by()[0]: Usage(busy_ratio=0.3, memory_bytes=10 << 20),
        Holder(namespace="stack", pod="engine-1", container="vllm"): Usage(
            busy_ratio=0.2, memory_bytes=5 << 20
        ),
    }

    load = loads(held, both)["GPU-a"]

    assert (load.utilization_percent, load.memory_used_mebibytes) == (50, 15)


def test_replicas_are_told_by_their_number() -> None:
    grant = {"namespace": "stack", "pod": "engine-0", "container": "vllm", "resource": "-"}

    assert holders([grant | {"device_ids": ["GPU-a::3"]}]) == {"GPU-a": held_by("3")}


def test_hot_gpu_draws_more_power_than_an_idle_one() -> None:
    idle, busy = Load(), Load(utilization_percent=80)

    assert idle.power_watts < busy.power_watts <= 700
    assert idle.temperature_celsius < busy.temperature_celsius
    assert idle.sm_clock_megahertz < busy.sm_clock_megahertz


def test_every_gpu_has_its_series_with_the_labels_of_dcgm(node: Node) -> None:
    found = scrape(Collector(node.host, "n1"))

    [sample] = found.series("DCGM_FI_DEV_FB_FREE", UUID="GPU-b")
    assert sample.value == 81559
    assert sample.labels == {
        "gpu": "1",
        "UUID": "GPU-b",
        "pci_bus_id": "00000000:28:00.0",
        "device": "nvidia1",
        "modelName": "hotfire-lab-gpu",
        "Hostname": "n1",
        "DCGM_FI_DRIVER_VERSION": "580.126.20",
    }


def test_what_the_lab_has_not_got_has_no_series(node: Node) -> None:
    names = scrape(Collector(node.host, "n1")).names

    assert not [name for name in names if "NVLINK" in name or "ECC" in name]


def test_mig_instances_stand_for_their_gpu(tmp_path: Path) -> None:
    node = Node(tmp_path, "mig=3g.40gb+1g.10gb")

    found = scrape(Collector(node.host, "n1"))

    rows = found.series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", UUID="GPU-a")
    shown = [(row.labels["GPU_I_PROFILE"], row.labels["GPU_I_ID"]) for row in rows]
    assert shown == [("3g.40gb", "1"), ("1g.10gb", "7")]
    assert found.series("DCGM_FI_DEV_GPU_UTIL") == []


def test_xid_shows_while_the_gpu_is_marked(node: Node) -> None:
    collector = Collector(node.host, "n1")
    node.write("var/lib/hotfire/gpu-health/GPU-b", b"64")
    marked = scrape(collector)
    (node.root / "var/lib/hotfire/gpu-health/GPU-b").unlink()

    assert marked.total("DCGM_FI_DEV_XID_ERRORS", UUID="GPU-b") == 64
    assert marked.total("DCGM_FI_DEV_ROW_REMAP_FAILURE", UUID="GPU-b") == 1
    assert marked.total("DCGM_FI_DEV_XID_ERRORS", UUID="GPU-a") == 0
    assert scrape(collector).total("DCGM_FI_DEV_XID_ERRORS") == 0


def test_energy_only_grows(node: Node) -> None:
    collector, name = Collector(node.host, "n1"), "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"

    first = scrape(collector).total(name, gpu="0")

    assert scrape(collector).total(name, gpu="0") > (first or 0) > 0  # type: ignore[operator]


def test_state_is_left_for_nvidia_smi(node: Node) -> None:
    Collector(node.host, "n1").collect()

    state = json.loads((node.root / "run/hotfire/gpus/GPU-a/state.json").read_text())

    assert state["utilization_percent"] == 0
    assert state["power_watts"] == 70


@pytest.fixture
def connection(node: Node) -> Iterator[http.client.HTTPConnection]:
    collector = Collector(node.host, "n1")
    collector.collect()
    server = serve(collector, ("127.0.0.1", 0))
    yield http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/health", 200), ("/", 404)])
def test_metrics_are_served(connection: http.client.HTTPConnection, path: str, status: int) -> None:
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()

    assert response.status == status
    assert (path == "/metrics") == ("DCGM_FI_DEV_GPU_TEMP{" in text)
