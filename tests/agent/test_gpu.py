"""Where a node's NVIDIA driver lies and how its programs are started, without a GPU."""

from pathlib import Path

import pytest

from hotfire.agent import cuda
from hotfire.agent.entries import Entries
from hotfire.agent.host import Host, OperationError
from hotfire.agent.operations import Operations

GPU = "GPU-11111111-2222-3333-4444-555555555555"
MIG = "MIG-66666666-7777-8888-9999-000000000000"
LISTED = f"""GPU 0: NVIDIA H200 (UUID: {GPU})
  MIG 1g.18gb     Device  0: (UUID: {MIG})
"""
ANSWER = """#!/bin/sh
printf '%s ' "$@" > "$(dirname "$0")/asked"
cat "$(dirname "$0")/answer"
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A node on which every command prints the file `answer` and is noted in `asked`."""
    program = tmp_path / "shell"
    program.write_text(ANSWER)
    program.chmod(0o755)
    (tmp_path / "answer").write_text(LISTED)
    return Host((str(program),), tmp_path)


def touch(host: Host, absolute: str) -> None:
    path = host.path(absolute)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize(
    ("place", "started"),
    [
        ("/usr/bin/nvidia-smi", "nvidia-smi -L"),
        ("/opt/elsewhere/nvidia-smi", "nvidia-smi -L"),
        (
            "/home/kubernetes/bin/nvidia/bin/nvidia-smi",
            "env LD_LIBRARY_PATH=/home/kubernetes/bin/nvidia/lib64 "
            "/home/kubernetes/bin/nvidia/bin/nvidia-smi -L",
        ),
        ("/run/nvidia/driver/usr/bin/nvidia-smi", "chroot /run/nvidia/driver nvidia-smi -L"),
    ],
)
def test_nvidia_smi_is_started_where_the_driver_lies(host: Host, place: str, started: str) -> None:
    touch(host, place)

    cuda.uuids(host)

    assert (host.root / "asked").read_text().strip() == started


def test_instances_of_a_gpu_have_uuids_too(host: Host) -> None:
    assert cuda.uuids(host) == [GPU, MIG]


@pytest.mark.parametrize("place", cuda.LIBRARIES)
def test_library_is_found_below_the_root_of_the_node(host: Host, place: str) -> None:
    touch(host, place)

    assert cuda.library(host) == f"{host.root}{place}"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"uuid": "0"}, "'0' is no UUID"),
        ({}, "'' is no UUID"),
        ({"uuid": "GPU-another"}, f"no GPU GPU-another; this node has {GPU}, {MIG}"),
        ({"uuid": GPU, "bytes": 1}, "unknown: bytes"),
    ],
)
def test_hog_for_what_is_no_gpu_of_this_node_is_refused(
    host: Host, args: dict[str, object], reason: str
) -> None:
    touch(host, cuda.LIBRARIES[0])
    node = Operations(host, Entries(host.root / "entries"))

    with pytest.raises(OperationError, match=reason):
        node.answer({"op": "device.hog", "id": "u-1", "ttl_seconds": 5, **args})

    assert node.idle()


def test_node_without_a_driver_is_refused(host: Host) -> None:
    node = Operations(host, Entries(host.root / "entries"))

    with pytest.raises(OperationError, match="no libcuda"):
        node.answer({"op": "device.hog", "id": "u-1", "ttl_seconds": 5, "uuid": GPU})


def test_library_that_does_not_load_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_text("no library")

    with (
        pytest.raises(OperationError, match="does not load"),
        cuda.device(str(tmp_path / "libcuda.so.1")),
    ):
        pass
