"""What the agent tells of a node's GPUs, and what it refuses to do to them."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotfire.agent import cuda, hog
from hotfire.agent.host import Host
from hotfire.waiting import until
from tests.agent.world import Agent
from tests.devices.test_gpu_hog import fill
from tests.devices.victim import bare
from tests.devices.witness import Gpu, gpus

pytestmark = pytest.mark.device
MEBIBYTE = 1 << 20
NOBODY = "GPU-00000000-0000-0000-0000-000000000000"


def test_list_is_that_of_nvidia_smi(agent: Agent, gpu: Gpu) -> None:
    rows = agent.call("gpu.list")["gpus"]

    assert [(row["index"], row["uuid"]) for row in rows] == [
        (one.index, one.uuid) for one in gpus()
    ]
    assert rows[0]["total_mebibytes"] == gpu.ask("memory.total")
    assert rows[0]["used_mebibytes"] == gpu.ask("memory.used")


def test_list_is_that_of_the_management_library(agent: Agent, gpu: Gpu) -> None:
    nvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py")
    nvml.nvmlInit()
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]

    rows = agent.call("gpu.list")["gpus"]

    assert [row["uuid"] for row in rows] == [nvml.nvmlDeviceGetUUID(one) for one in handles]
    totals = [nvml.nvmlDeviceGetMemoryInfo(one).total // MEBIBYTE for one in handles]
    assert [int(row["total_mebibytes"]) for row in rows] == totals


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"uuid": NOBODY}, "OperationError: no GPU {nobody}; this node has {uuid}"),
        ({"uuid": "0"}, "OperationError: '0' is no UUID of a GPU"),
        ({"uuid": "{uuid}", "bytes": 1 << 50}, "OperationError: unknown: bytes; there are uuid"),
        ({"uuid": "{uuid}", "ttl_seconds": 7200}, "OperationError: a ttl of 7200.0 s"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_taken(
    agent: Agent, gpu: Gpu, free_before: int, args: dict[str, object], reason: str
) -> None:
    wanted = {key: gpu.uuid if value == "{uuid}" else value for key, value in args.items()}

    reply = agent.reply("device.hog", **{"id": "u-1", "ttl_seconds": 30, **wanted})

    assert reply["error"].startswith(reason.format(nobody=NOBODY, uuid=gpu.uuid))
    assert agent.call("list") == []
    assert gpu.is_free(free_before)


def test_second_hog_is_refused_while_the_first_is_there(agent: Agent, gpu: Gpu) -> None:
    fill(agent, gpu)

    reply = agent.reply("device.hog", id="u-2", ttl_seconds=30, uuid=gpu.uuid)

    assert reply["error"] == "OperationError: entry u-1 is open on this node; heal it first"


def test_more_than_the_gpu_has_is_one_clear_error(gpu: Gpu) -> None:
    wanted = 2 * int(gpu.ask("memory.total")) * MEBIBYTE

    with bare() as program:
        program.said()
        said = program.take(wanted)

    assert said == f"cuMemAlloc of {wanted} bytes: out of memory (CUDA error 2)"


def test_hog_without_room_for_a_context_ends_with_one_line(
    agent: Agent, gpu: Gpu, tmp_path: Path
) -> None:
    fill(agent, gpu)
    other = Agent(tmp_path / "other", prefix="env")
    other.folder.mkdir()
    other.start()

    other.call("device.hog", id="u-2", ttl_seconds=30, uuid=gpu.uuid)
    until(
        lambda: other.call("entry", id="u-2")["state"] == "healed",
        within_seconds=20,
        what="the second hog's end",
    )
    told = other.call("entry", id="u-2")["observed"]
    other.end(signal.SIGTERM)

    assert told["said"] == "cuDevicePrimaryCtxRetain: out of memory (CUDA error 2)"
    assert told["exit_code"] == 1
    assert gpu.is_full()


def test_hog_for_a_gpu_that_is_gone_ends_with_one_line(gpu: Gpu) -> None:
    args = {"uuid": NOBODY, "library": cuda.library(Host((), Path("/")))}
    words = [sys.executable, "-m", hog.MODULE, "u-1", "device", json.dumps(args)]

    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "cuInit: no CUDA-capable device is detected (CUDA error 100)"
    ]
    assert gpu.uuid != NOBODY
