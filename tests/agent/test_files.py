"""Faults that are a file: a full disk, a failed GPU, a store out of order."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations

MEBIBYTE = 1 << 20
SIZE_BYTES = 16 * MEBIBYTE
GPU = "GPU-00000001-0000-4000-8000-000000000000"
SMI = f"""#!/bin/sh
echo "0, {GPU}, 81559, 0"
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "disk"
    path.mkdir()
    size = f"size={SIZE_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", str(path)], check=True, timeout=10)
    yield path
    subprocess.run(["umount", str(path)], check=True, timeout=10)


def free(path: Path) -> int:
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize


def operations(root: Path, state: Path, *prefix: str) -> Operations:
    return Operations(Host(prefix, root), Entries(state / "entries"))


def fill(**args: object) -> dict[str, Any]:
    return {"op": "disk.fill", "id": "u-1", "ttl_seconds": 60, "path": "/disk", **args}


def test_room_is_that_of_the_file_system(disk: Path, tmp_path: Path) -> None:
    node = operations(tmp_path, tmp_path)

    assert node.answer({"op": "disk.room", "path": "/disk"}) == {
        "total_bytes": SIZE_BYTES,
        "free_bytes": SIZE_BYTES,
    }
    with pytest.raises(OperationError, match="no directory"):
        node.answer({"op": "disk.room", "path": "/elsewhere"})


def test_disk_is_filled_up_to_what_is_to_stay_free(disk: Path, tmp_path: Path) -> None:
    node = operations(tmp_path, tmp_path)
    node.answer(fill(free_bytes=MEBIBYTE, at_most_bytes=SIZE_BYTES))
    left = free(disk)

    problems = node.heal_all()

    assert left == MEBIBYTE
    assert problems == []
    assert free(disk) == SIZE_BYTES


def test_a_disk_larger_than_allowed_is_not_filled(disk: Path, tmp_path: Path) -> None:
    node = operations(tmp_path, tmp_path)

    with pytest.raises(OperationError, match="takes a file of"):
        node.answer(fill(free_bytes=0, at_most_bytes=MEBIBYTE))

    assert free(disk) == SIZE_BYTES


def test_a_link_in_the_way_of_the_file_leads_nowhere(disk: Path, tmp_path: Path) -> None:
    node = operations(tmp_path, tmp_path)
    (disk / ".hotfire-fill-u-1").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        node.answer(fill(free_bytes=0, at_most_bytes=SIZE_BYTES))

    assert not (tmp_path / "elsewhere").exists()
    assert node.idle()


def test_the_name_that_a_killed_agent_left_is_removed(disk: Path, tmp_path: Path) -> None:
    args = {"path": "/disk", "free_bytes": 0, "at_most_bytes": SIZE_BYTES}
    Entries(tmp_path / "entries").arm("u-1", "disk.fill", args, ttl_seconds=60)
    (disk / ".hotfire-fill-u-1").write_bytes(bytes(MEBIBYTE // 2))

    operations(tmp_path, tmp_path).start()

    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("path", ["disk", "/nowhere", "/disk/../disk"])
def test_what_is_no_directory_of_the_node_is_refused(tmp_path: Path, path: str) -> None:
    request = fill(free_bytes=0, at_most_bytes=MEBIBYTE) | {"path": path}

    with pytest.raises(OperationError, match="no directory of this node"):
        operations(tmp_path, tmp_path).answer(request)


@pytest.fixture
def lab_node(tmp_path: Path) -> Operations:
    """A machine of the lab with one GPU, which a stand-in for nvidia-smi lists."""
    (tmp_path / "var/lib/hotfire").mkdir(parents=True)
    smi = tmp_path / "smi"
    smi.write_text(SMI)
    smi.chmod(0o755)
    return operations(tmp_path, tmp_path, str(smi))


def health(**args: object) -> dict[str, Any]:
    return {"op": "gpu.health", "id": "u-1", "ttl_seconds": 60, **args}


def test_failed_gpu_is_a_file_with_its_xid(lab_node: Operations, tmp_path: Path) -> None:
    lab_node.answer(health(uuid=GPU, xid=79))
    path = tmp_path / "var/lib/hotfire/gpu-health" / GPU
    said = path.read_text()

    problems = lab_node.heal_all()

    assert said == "79\n"
    assert problems == []
    assert list(path.parent.iterdir()) == []


def test_a_gpu_of_another_node_is_refused(lab_node: Operations) -> None:
    with pytest.raises(OperationError, match=f"this node has {GPU}"):
        lab_node.answer(health(uuid="GPU-2", xid=79))


def test_a_node_outside_the_lab_has_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="no machine of the lab"):
        operations(tmp_path, tmp_path).answer(health(uuid=GPU, xid=79))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"mode": "corrupt"}, "corrupt\n"),
        ({"mode": "slow", "bytes_per_second": 5e4}, "slow 50000\n"),
    ],
)
def test_mode_of_the_store_is_written_and_taken_back(
    lab_node: Operations, tmp_path: Path, args: dict[str, object], said: str
) -> None:
    lab_node.answer({"op": "store.mode", "id": "u-1", "ttl_seconds": 60, **args})
    path = tmp_path / "var/lib/hotfire/model-store/mode"
    written = path.read_text()

    lab_node.heal_all()

    assert written == said
    assert not path.exists()


def test_a_mode_that_somebody_set_is_left_alone(lab_node: Operations, tmp_path: Path) -> None:
    path = tmp_path / "var/lib/hotfire/model-store/mode"
    path.parent.mkdir()
    path.write_text("slow 1\n")

    with pytest.raises(OperationError, match="set already"):
        lab_node.answer({"op": "store.mode", "id": "u-1", "ttl_seconds": 60, "mode": "corrupt"})

    assert path.read_text() == "slow 1\n"
