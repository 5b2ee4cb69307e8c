"""What a node's sharing makes of its GPUs, in numbers, devices and labels."""

from pathlib import Path

import pytest

from hotfire.errors import LabError
from hotfire.lab.gpu.gpu_device import broken, encode, scan, xids
from hotfire.lab.gpu.gpu_labels import labels
from hotfire.lab.gpu.gpus import GpuSharing
from hotfire.lab.machine.worker import node_object
from hotfire.lab.shape import topology_file
from hotfire.lab.shape.topology import Topology

UUIDS = ("GPU-a", "GPU-b")


@pytest.mark.parametrize(
    ("words", "resources"),
    [
        ("", {"nvidia.com/gpu": 2}),
        ("whole", {"nvidia.com/gpu": 2}),
        ("exclusive", {"nvidia.com/gpu": 2}),
        ("time-slicing=4", {"nvidia.com/gpu": 8}),
        ("mig=1g.10gb*7", {"nvidia.com/mig-1g.10gb": 14}),
        ("mig=3g.40gb+1g.10gb*4", {"nvidia.com/mig-3g.40gb": 2, "nvidia.com/mig-1g.10gb": 8}),
    ],
)
def test_words_become_resources(words: str, resources: dict[str, int]) -> None:
    assert GpuSharing.parse(words).resources(2) == resources
    assert GpuSharing.parse(words).resources(0) == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mps", "not 'mps'"),
        ("time-slicing=1", "N > 1"),
        ("time-slicing=some", "N > 1"),
        ("exclusive=2", "not 'exclusive=2'"),
        ("mig=", "a MIG profile of 1g.10gb"),
        ("mig=3g.20gb", "not '3g.20gb'"),
        ("mig=1g.10gb*8", "takes 8 of 7 slices"),
        ("mig=3g.40gb*2+1g.10gb", "90 of 80 GB"),
    ],
)
def test_words_that_no_gpu_can_do_are_refused(words: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        GpuSharing.parse(words)


def test_topology_with_impossible_sharing_is_refused() -> None:
    with pytest.raises(LabError, match="takes 8 of 7 slices"):
        topology_file.parse({"gpu_sharing": {"n1": "mig=1g.10gb*8"}})


def test_devices_come_back_from_their_nodes_as_they_were(tmp_path: Path) -> None:
    devices = GpuSharing.parse("mig=3g.40gb+1g.10gb*4").devices(UUIDS)
    for device in devices:
        path = tmp_path / device.node
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(device))

    assert list(scan(tmp_path)) == devices
    assert len({device.uuid for device in devices}) == 12


def test_mig_instances_number_like_those_of_a_hopper() -> None:
    devices = GpuSharing.parse("mig=3g.40gb+2g.20gb+1g.10gb*2").devices(("GPU-a",))

    ids = [device.mig.gpu_instance for device in devices if device.mig]
    assert ids == [1, 3, 7, 8]


def test_first_sector_of_a_device_is_its_uuid() -> None:
    [device] = GpuSharing.parse("exclusive").devices(("GPU-a",))

    assert encode(device)[:512].rstrip(b"\0") == b"GPU-a"
    assert device.compute_mode == "Exclusive_Process"


def test_time_slices_show_in_the_labels() -> None:
    found = labels(GpuSharing.parse("time-slicing=4"), 2)

    assert found["nvidia.com/gpu.product"] == "hotfire-lab-gpu-SHARED"
    assert found["nvidia.com/gpu.replicas"] == "4"
    assert found["nvidia.com/gpu.sharing-strategy"] == "time-slicing"
    assert found["nvidia.com/gpu.count"] == "2"


def test_mig_instances_show_in_the_labels() -> None:
    found = labels(GpuSharing.parse("mig=1g.10gb*7"), 2)

    assert found["nvidia.com/mig.strategy"] == "mixed"
    assert found["nvidia.com/mig-1g.10gb.count"] == "14"
    assert found["nvidia.com/mig-1g.10gb.product"] == "hotfire-lab-gpu-MIG-1g.10gb"
    assert found["nvidia.com/gpu.count"] == "2"
    assert found["nvidia.com/gpu.replicas"] == "0"


def test_labels_of_each_node_follow_its_own_sharing() -> None:
    topology = Topology(gpu_sharing={"n2": "time-slicing=2"})

    replicas = [
        node_object(topology, worker)["metadata"]["labels"]["nvidia.com/gpu.replicas"]  # type: ignore[index]
        for worker in topology.workers
    ]
    assert replicas == ["1", "2", "1"]


def test_node_without_gpus_has_neither_their_labels_nor_their_taint() -> None:
    topology = Topology(gpus_per_node=0)

    text = str(node_object(topology, topology.workers[0]))

    assert "nvidia.com" not in text


def test_health_files_are_read_as_xids(tmp_path: Path) -> None:
    (tmp_path / "GPU-a").write_text("79\n")
    (tmp_path / "GPU-b").write_text("burnt")

    assert xids(tmp_path) == {"GPU-a": 79, "GPU-b": 0}
    assert xids(tmp_path / "absent") == {}


def test_a_gpu_is_not_broken_by_what_a_program_did(tmp_path: Path) -> None:
    (tmp_path / "GPU-a").write_text("79")
    (tmp_path / "GPU-b").write_text("13")

    assert broken(tmp_path) == {"GPU-a": 79}
