"""Nodes that share their GPUs as they were told when the lab came up."""

from collections import Counter
from collections.abc import Iterator

import pytest

from hotfire.lab.lab import Lab
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import Topology
from hotfire.waiting import until
from tests.breaking import broken
from tests.gpu_pods import BUSY, GPU, IDLE, Pods, offered, pods_of, scrape

pytestmark = pytest.mark.lab

TOPOLOGY = Topology(
    nodes=4,
    gpu_sharing={"n2": "time-slicing=4", "n3": "mig=3g.40gb+1g.10gb*4", "n4": "dra"},
)
REQUEST = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
TEMPLATE = {"spec": {"devices": {"requests": [REQUEST]}}}
SMALL, LARGE = "nvidia.com/mig-1g.10gb", "nvidia.com/mig-3g.40gb"


@pytest.fixture(scope="module")
def lab(empty_lab: Lab) -> Lab:
    empty_lab.up(TOPOLOGY, Progress(print))
    return empty_lab


@pytest.fixture
def pods(lab: Lab) -> Iterator[Pods]:
    with pods_of(lab) as pods:
        yield pods


def test_each_node_offers_what_its_sharing_makes_of_two_gpus(lab: Lab) -> None:
    assert offered(lab, "n1") == {GPU: 2}
    assert offered(lab, "n2") == {GPU: 8}
    assert offered(lab, "n3") == {SMALL: 8, LARGE: 2}
    assert offered(lab, "n4") == {}


def test_pod_with_a_mig_instance_opens_that_and_neither_its_gpu_nor_others(pods: Pods) -> None:
    pods.start("mig", IDLE, node="n3", resource=SMALL)

    shown = pods.shell("mig", "nvidia-smi", "-L")
    seen = set(pods.opened("mig")) - {"Operation not permitted"}

    [own] = seen
    assert own.startswith("MIG-")
    assert f"  MIG 1g.10gb     Device  0: (UUID: {own})" in shown


def test_pods_on_slices_of_one_gpu_see_the_same_gpu(pods: Pods) -> None:
    for number in range(8):
        pods.start(f"slice-{number}", IDLE, node="n2")

    uuids = Counter(pods.uuid(f"slice-{number}") for number in range(8))

    assert sorted(uuids.values()) == [4, 4]


def test_load_on_a_mig_instance_shows_on_it_and_not_on_its_neighbours(lab: Lab, pods: Pods) -> None:
    pods.start("busy", BUSY, node="n3", resource=LARGE)
    name = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"

    until(
        lambda: (scrape(lab, "n3").total(name, pod="busy", GPU_I_PROFILE="3g.40gb") or 0) > 0.7,
        within_seconds=60,
        what="the instance busy",
    )

    found = scrape(lab, "n3")
    assert found.total(name) == found.total(name, pod="busy")
    assert len(found.series(name)) == 10


@pytest.mark.parametrize(
    ("node", "left"), [("n2", {GPU: 4}), ("n3", {SMALL: 4, LARGE: 1})], ids=["slices", "mig"]
)
def test_broken_gpu_takes_all_its_shares(lab: Lab, node: str, left: dict[str, int]) -> None:
    whole = offered(lab, node)

    with broken(lab, f"{node}/gpu0") as proof:
        until(lambda: offered(lab, node) == left, within_seconds=30, what="one GPU's shares gone")

    assert f"{node} offers" in proof
    assert offered(lab, node) == whole


def test_claim_brings_a_pod_one_gpu_and_its_device_to_open(pods: Pods) -> None:
    pods.create("resource.k8s.io/v1", "ResourceClaimTemplate", "one-gpu", TEMPLATE)
    for number in range(2):
        pods.start(f"claimed-{number}", IDLE, node="n4", resource=None, claim="one-gpu")

    uuids = [pods.uuid(f"claimed-{number}") for number in range(2)]

    assert sorted(uuids) == sorted(TOPOLOGY.machine("n4").gpus)
    assert set(pods.opened("claimed-0")) == {uuids[0], "Operation not permitted"}


def test_load_on_a_claimed_gpu_shows_on_it(lab: Lab, pods: Pods) -> None:
    pods.create("resource.k8s.io/v1", "ResourceClaimTemplate", "one-gpu", TEMPLATE)
    pods.start("busy", BUSY, node="n4", resource=None, claim="one-gpu")

    until(
        lambda: (scrape(lab, "n4").total("DCGM_FI_DEV_GPU_UTIL", pod="busy") or 0) > 70,
        within_seconds=60,
        what="the claimed GPU busy",
    )

    assert scrape(lab, "n4").total("DCGM_FI_DEV_GPU_UTIL", UUID=pods.uuid("busy"))


def test_gpu_at_fault_leaves_the_resource_slice(lab: Lab) -> None:
    def devices() -> list[str]:
        [found] = lab.kubectl().items("resourceslices", "--field-selector=spec.nodeName=n4")
        return [device["name"] for device in found["spec"]["devices"]]

    with broken(lab, "n4/gpu0") as proof:
        until(lambda: devices() == ["gpu-1"], within_seconds=30, what="one GPU less")

    assert "n4 offers gpu.nvidia.com 1, before gpu.nvidia.com 2" in proof
    assert devices() == ["gpu-0", "gpu-1"]
