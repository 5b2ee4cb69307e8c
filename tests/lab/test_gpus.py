"""GPUs of the standing lab as a platform engineer meets them on NVIDIA nodes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hotfire.lab.cluster.kube import condition
from hotfire.lab.gpu.gpus import CONFIG, GpuSharing
from hotfire.lab.lab import Lab
from hotfire.waiting import until
from tests.gpu_pods import BUSY, GPU, IDLE, NAMESPACE, Pods, offered, pods_of, scrape, xid

pytestmark = pytest.mark.lab


@pytest.fixture
def pods(lab: Lab) -> Iterator[Pods]:
    with pods_of(lab) as pods:
        yield pods


@pytest.fixture
def node(lab: Lab) -> str:
    """A node with a GPU that nobody holds, so that a pod of ours starts there."""
    held = lab.kubectl().items("pods", "--all-namespaces")
    busy = [pod["spec"].get("nodeName") for pod in held if f"'{GPU}':" in str(pod["spec"])]
    ready = [each for each in lab.kubectl().items("nodes") if condition(each, "Ready")]
    names: list[str] = [each["metadata"]["name"] for each in ready]
    return min(names, key=busy.count)


@contextmanager
def shared(lab: Lab, node: str, words: str) -> Iterator[None]:
    """Give a node other settings, as whoever runs it would."""
    former = lab.rack.run(node, ["cat", CONFIG])
    settings = json.dumps(GpuSharing.parse(words).plugin_config())
    lab.rack.run(node, ["tee", CONFIG], stdin=settings)
    try:
        yield
    finally:
        lab.rack.run(node, ["tee", CONFIG], stdin=former)
        until(lambda: offered(lab, node) == {GPU: 2}, within_seconds=60, what="whole GPUs again")


def test_pod_opens_its_own_gpu_and_no_other_even_by_number(lab: Lab, pods: Pods, node: str) -> None:
    pods.start("one", IDLE, node=node)

    seen = set(pods.opened("one"))

    assert {line for line in seen if line.startswith("GPU-")} == {pods.uuid("one")}
    assert "Operation not permitted" in seen
    assert lab.rack.run(node, ["nvidia-smi", "-L"]).count("UUID: GPU-") == 2


def test_pod_without_a_gpu_opens_none(pods: Pods, node: str) -> None:
    pods.start("none", IDLE, node=node, resource=None)

    seen = pods.opened("none")

    assert set(seen) == {"Operation not permitted"}
    assert pods.shell("none", "sh", "-c", "nvidia-smi -L || true") == "No devices were found\n"


def test_xid_takes_one_gpu_out_of_allocatable_until_it_is_healed(lab: Lab, node: str) -> None:
    uuid = lab.rack.run(node, ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]).split()[
        1
    ]

    with xid(lab, node, uuid, 79):
        until(lambda: offered(lab, node) == {GPU: 1}, within_seconds=60, what="one GPU less")
        until(
            lambda: scrape(lab, node).total("DCGM_FI_DEV_XID_ERRORS", UUID=uuid) == 79,
            within_seconds=60,
            what="the Xid in the metrics",
        )
    until(lambda: offered(lab, node) == {GPU: 2}, within_seconds=60, what="both GPUs again")
    # The exporter looks at its own pace, not at the device plugin's.
    until(
        lambda: scrape(lab, node).total("DCGM_FI_DEV_XID_ERRORS") == 0,
        within_seconds=60,
        what="no Xid in the metrics",
    )


def test_utilisation_follows_the_pod_that_holds_the_gpu(lab: Lab, pods: Pods, node: str) -> None:
    pods.start("busy", BUSY, node=node)
    uuid = pods.uuid("busy")
    mine = {"UUID": uuid, "pod": "busy", "namespace": NAMESPACE, "container": "probe"}

    def utilisation() -> float:
        return scrape(lab, node).total("DCGM_FI_DEV_GPU_UTIL", **mine) or 0.0

    until(lambda: utilisation() > 70, within_seconds=60, what="the GPU busy")
    unheld = [
        sample.value
        for sample in scrape(lab, node).series("DCGM_FI_DEV_GPU_UTIL")
        if "pod" not in sample.labels
    ]
    pods.run("delete", "pod", "busy")
    until(
        lambda: scrape(lab, node).total("DCGM_FI_DEV_GPU_UTIL", UUID=uuid) == 0,
        within_seconds=60,
        what="the GPU idle",
    )

    assert set(unheld) <= {0.0}


def test_pod_reads_its_own_load_from_nvidia_smi(pods: Pods, node: str) -> None:
    pods.start("busy", BUSY, node=node)
    query = "nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits"

    def reading() -> list[int]:
        return [int(cell) for cell in pods.shell("busy", *query.split()).split(",")]

    until(lambda: reading()[0] > 70, within_seconds=60, what="a busy GPU in the pod's eyes")
    assert 0 < reading()[1] < 64


def test_time_slices_are_offered_and_shared_while_a_node_is_set_so(
    lab: Lab, pods: Pods, node: str
) -> None:
    with shared(lab, node, "time-slicing=4"):
        until(lambda: offered(lab, node) == {GPU: 8}, within_seconds=60, what="eight slices")
        for number in range(3):
            pods.start(f"slice-{number}", IDLE, node=node)
        seen = [pods.uuid(f"slice-{number}") for number in range(3)]
        pods.run("delete", "pods", "--all")

    assert len(set(seen)) == 2
