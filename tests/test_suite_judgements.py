"""What the checks of accelerators and of scheduling conclude from what they saw."""

from typing import Any

import pytest

from hotfire.cluster import Node
from hotfire.metrics import parse
from suites.gpu.test_driver_versions_are_those_pods_read import (
    Versions,
    advertised,
    differences,
    fits,
    read,
)
from suites.gpu.test_engines_hold_their_accelerators_alone import Held
from suites.observability.test_gpu_metrics_follow_the_pods_that_load_them import (
    Reading,
    idle,
    of_unused,
    reading,
    risen,
)
from suites.scheduling.test_replicas_spread_over_racks import beyond_nodes, declared_skew, skew
from suites.scheduling.test_serving_and_batch_work_keep_to_their_own_pools import GpuPod, queue_of

TABLE = "| NVIDIA-SMI 580.126.20    Driver Version: 580.126.20    CUDA Version: 13.0     |"
SEEN = Versions(driver="580.126.20", runtime="13.0")
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
RACKS = {"n1": "a", "n2": "b", "n3": "c", "n4": "c"}
POD = ("team", "load")
PAGE = """
DCGM_FI_DEV_GPU_UTIL{UUID="GPU-1",pod="load",namespace="team"} 40
DCGM_FI_DEV_GPU_UTIL{UUID="GPU-2"} 3
DCGM_FI_DEV_FB_USED{UUID="GPU-1",pod="load",namespace="team"} 512
"""


def held(**changes: Any) -> Held:  # noqa: ANN401 - whatever field a case changes
    facts = {"engine": "vllm-0", "resource": "nvidia.com/gpu", "device": "GPU-1", "strategy": ""}
    return Held(**{**facts, **changes})


def gpu_pod(*owners: str, queue: str = "", nodes: tuple[str, ...] = ()) -> GpuPod:
    return GpuPod(pod="team/train", node="", owners=owners, queue=queue, nodes=nodes)


def test_versions_are_read_from_the_table_of_the_driver() -> None:
    assert read(TABLE, "n1") == SEEN


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [
        ({"cuda.driver-version.full": "580.126.20", "cuda.runtime-version.full": "13.0"}, 0),
        ({"cuda.driver.major": "580", "cuda.driver.minor": "126", "cuda.driver.rev": "20"}, 0),
        ({"cuda.driver-version.full": "570.86.15"}, 1),
        ({"cuda.driver.major": "580", "cuda.runtime.major": "12", "cuda.runtime.minor": "9"}, 2),
    ],
)
def test_labels_that_tell_another_version_are_reported(labels: dict[str, str], wrong: int) -> None:
    named = {f"nvidia.com/{key}": value for key, value in labels.items()}
    node = Node.parse({"metadata": {"name": "n1", "uid": "1", "labels": named}})

    assert len(differences(advertised(node, "nvidia.com", []), SEEN)) == wrong


def test_device_by_claim_tells_versions_too() -> None:
    node = Node.parse({"metadata": {"name": "n1", "uid": "1"}})
    device = {"name": "gpu-0", "attributes": {"driverVersion": {"version": "570.86.15"}}}
    slices = [{"spec": {"nodeName": "n1", "devices": [device]}}]

    assert advertised(node, "nvidia.com", slices) == [Versions(driver="570.86.15", runtime="")]


@pytest.mark.parametrize(("image", "fit"), [("12.9.1", True), ("13.2", True), ("14.0", False)])
def test_image_fits_a_driver_of_its_major_version_or_a_later_one(image: str, fit: bool) -> None:
    assert fits(image, "13.0") is fit


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "GPU-1::3"},
        {"device": "nvidia0/vgpu1"},
        {"resource": "nvidia.com/gpu.shared"},
        {"strategy": "mps"},
        {"also_held_by": (("dev", "notebook"),)},
    ],
)
def test_share_is_known_by_any_of_its_signs(changes: dict[str, Any]) -> None:
    assert held(**changes).share()


@pytest.mark.parametrize(
    "changes", [{}, {"strategy": "none"}, {"device": "MIG-7", "resource": "nvidia.com/mig-3g.40gb"}]
)
def test_whole_gpu_and_mig_instance_are_no_shares(changes: dict[str, Any]) -> None:
    assert not held(**changes).share()


@pytest.mark.parametrize(
    ("pod", "count"),
    [
        (gpu_pod("ReplicaSet", "Deployment", nodes=("n1",)), 0),
        (gpu_pod(), 1),
        (gpu_pod("Job", queue="research", nodes=("n2",)), 0),
        (gpu_pod("Job", queue="research", nodes=("n1", "n2")), 1),
        (gpu_pod("PyTorchJob", nodes=("n1",)), 2),
    ],
)
def test_bare_pods_and_batch_work_among_engines_are_reported(pod: GpuPod, count: int) -> None:
    assert len(pod.findings({"n1"})) == count


def test_queue_is_named_by_a_pod_or_by_its_owner() -> None:
    owner = {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "research"}}}

    assert queue_of([{"metadata": {}}, owner]) == "research"


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [(["n1", "n2", "n3"], 0), (["n1", "n2"], 1), (["n3", "n4"], 2), ([], 0), (["elsewhere"], 0)],
)
def test_skew_counts_racks_that_hold_nothing(nodes: list[str], expected: int) -> None:
    assert skew(nodes, RACKS) == expected


def test_declared_skew_is_that_of_the_rack_or_else_one() -> None:
    rules = {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 2}]}

    assert (declared_skew(rules, "zone"), declared_skew(rules, "rack")) == (2, 1)


def test_rule_about_single_nodes_is_left_out_and_one_about_racks_kept() -> None:
    rack = {"topologyKey": "zone"}
    terms = [{"topologyKey": "kubernetes.io/hostname"}, rack]

    rules = beyond_nodes({"affinity": {"podAntiAffinity": {REQUIRED: terms}}})

    assert rules["affinity"]["podAntiAffinity"] == {REQUIRED: [rack]}


def test_reading_tells_own_series_from_those_of_nobody() -> None:
    found = reading([parse(PAGE)], POD)

    assert (found.utilisation_percent, found.memory_mebibytes) == (40, 512)
    assert (found.uuids, found.others_percent) == (("GPU-1",), {"GPU-2": 3})


def test_series_of_another_pod_are_not_its_own() -> None:
    found = reading([parse(PAGE)], ("team", "other"))

    assert (found.utilisation_percent, found.memory_mebibytes, found.uuids) == (None, None, ())


def test_figures_rise_only_both_and_what_is_absent_is_neither_idle_nor_risen() -> None:
    before = Reading(utilisation_percent=0, memory_mebibytes=10)
    absent = Reading(utilisation_percent=None, memory_mebibytes=None)

    assert risen(Reading(utilisation_percent=90, memory_mebibytes=50), before)
    assert not risen(Reading(utilisation_percent=90, memory_mebibytes=10), before)
    assert not risen(absent, before)
    assert not idle(absent)


def test_device_that_was_somebody_s_meanwhile_is_not_unused() -> None:
    rows = [
        Reading(utilisation_percent=0, memory_mebibytes=0, others_percent=others)
        for others in ({"GPU-2": 3.0, "GPU-3": 0.0}, {"GPU-2": 5.0})
    ]

    assert of_unused(rows) == {"GPU-2": (3.0, 5.0)}
