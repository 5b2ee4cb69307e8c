"""The stand-in for nvidia-smi writes what the real one writes; the samples are of driver 580."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hotfire.lab import programs
from hotfire.lab.gpu.gpu_device import encode
from hotfire.lab.gpu.gpus import GpuSharing

SMI = programs.path("assets") / "nvidia-smi"
UUIDS = ("GPU-a", "GPU-b")
Smi = Callable[..., list[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, "whole")
    return tmp_path


@pytest.fixture
def smi(root: Path, capsys: pytest.CaptureFixture[str]) -> Smi:
    """Run it over a root directory and return the lines it wrote."""
    main = runpy.run_path(str(SMI))["main"]

    def run(*argv: str, code: int = 0) -> list[str]:
        assert main(list(argv), root) == code
        return capsys.readouterr().out.splitlines()

    return run


def put(root: Path, words: str) -> None:
    """Put the devices of two GPUs below a root."""
    for device in GpuSharing.parse(words).devices(UUIDS):
        path = root / "dev" / device.node
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(device))


def measure(root: Path, uuid: str, *processes: int) -> None:
    """Leave what the exporter leaves of a device."""
    state = {
        "utilization_percent": 37,
        "memory_copy_percent": 22,
        "memory_used_mebibytes": 812,
        "temperature_celsius": 47,
        "power_watts": 303.1,
        "sm_clock_megahertz": 1980,
        "pid_namespace": str(Path("/proc/self/ns/pid").readlink()),
        "processes": processes,
    }
    path = root / "run/hotfire/gpus" / uuid / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(state))


def test_gpus_it_may_open_are_listed_and_no_others(root: Path, smi: Smi) -> None:
    (root / "dev" / "nvidia0").unlink()
    (root / "dev" / "nvidia0").mkdir()

    assert smi("-L") == ["GPU 0: hotfire-lab-gpu (UUID: GPU-b)"]


def test_mig_instances_are_listed_below_their_gpu(root: Path, smi: Smi) -> None:
    put(root, "mig=3g.40gb+1g.10gb")

    first, *parts = smi("-L")[:3]
    assert first == "GPU 0: hotfire-lab-gpu (UUID: GPU-a)"
    assert [part.partition("MIG-")[0] for part in parts] == [
        "  MIG 3g.40gb     Device  0: (UUID: ",
        "  MIG 1g.10gb     Device  1: (UUID: ",
    ]


def test_container_with_one_mig_instance_sees_its_gpu_for_the_name_only(
    root: Path, smi: Smi
) -> None:
    put(root, "mig=1g.10gb*2")
    for node in ("nvidia0", "nvidia1", "nvidia-caps/nvidia-cap1", "nvidia-caps/nvidia-cap2"):
        (root / "dev" / node).unlink()
    (root / "dev" / "nvidia-caps/nvidia-cap3").unlink()

    assert [line.partition("(")[0] for line in smi("-L")] == [
        "GPU 0: hotfire-lab-gpu ",
        "  MIG 1g.10gb     Device  0: ",
    ]
    asked = smi("--query-gpu=uuid,memory.total,mig.mode.current", "--format=csv,noheader")
    assert asked == ["GPU-b, [Insufficient Permissions], Enabled"]


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (
            "csv",
            [
                "index, uuid, memory.total [MiB], memory.used [MiB], memory.free [MiB], "
                "utilization.gpu [%], power.draw [W], clocks.current.sm [MHz], pstate",
                "0, GPU-a, 81559 MiB, 812 MiB, 80747 MiB, 37 %, 303.10 W, 1980 MHz, P0",
            ],
        ),
        ("csv,noheader,nounits", ["0, GPU-a, 81559, 812, 80747, 37, 303.10, 1980, P0"]),
    ],
)
def test_queries_are_answered_as_csv(root: Path, smi: Smi, options: str, lines: list[str]) -> None:
    measure(root, "GPU-a")
    fields = "index,gpu_uuid,memory.total,memory.used,memory.free,utilization.gpu,power.draw"

    shown = smi(f"--query-gpu={fields},clocks.sm,pstate", f"--format={options}", "-i", "0")

    assert shown == lines


def test_what_nobody_measures_is_not_available(root: Path, smi: Smi) -> None:
    measure(root, "GPU-a")
    old = root / "run/hotfire/gpus/GPU-a/state.json"
    os.utime(old, (0, 0))

    fields = "--query-gpu=memory.used,utilization.gpu,ecc.mode.current"

    assert smi(fields, "--format=csv,noheader") == ["[N/A], [N/A], [N/A]"] * 2


def test_compute_mode_of_an_exclusive_gpu_is_told(root: Path, smi: Smi) -> None:
    put(root, "exclusive")

    shown = smi("--query-gpu=compute_mode", "--format=csv,noheader")

    assert shown == ["Exclusive_Process"] * 2


def test_processes_are_told_in_the_node_and_hidden_in_containers(root: Path, smi: Smi) -> None:
    measure(root, "GPU-b", os.getpid())
    query = ("--query-compute-apps=pid,used_memory,gpu_uuid", "--format=csv")

    header, row = smi(*query)
    assert header == "pid, used_gpu_memory [MiB], gpu_uuid"
    assert row.startswith(f"{os.getpid()}, ")
    assert row.endswith("MiB, GPU-b")

    state = root / "run/hotfire/gpus/GPU-b/state.json"
    state.write_text(state.read_text().replace("pid:[", "pid:[1"))
    assert smi(*query) == [header]


@pytest.mark.parametrize("words", ["whole", "exclusive", "mig=3g.40gb+1g.10gb*4"])
def test_tables_are_as_wide_as_the_real_ones_in_every_line(
    root: Path, smi: Smi, words: str
) -> None:
    put(root, words)
    measure(root, "GPU-a")

    _date, *lines = smi()

    assert {len(line) for line in lines if line} == {91}


def test_table_shows_a_busy_gpu_as_the_real_one(root: Path, smi: Smi) -> None:
    measure(root, "GPU-a")

    assert smi()[8:11] == [
        "|   0  hotfire-lab-gpu                On  |   00000000:18:00.0 Off |"
        "                  N/A |",
        "| N/A   47C    P0            303W /  700W |     812MiB /  81559MiB |"
        "     37%      Default |",
        "|                                         |                        |"
        "             Disabled |",
    ]


def test_details_name_the_driver_and_each_gpu(root: Path, smi: Smi) -> None:
    measure(root, "GPU-a")

    lines = smi("-q")

    assert "Driver Version                            : 580.126.20" in lines
    assert "    GPU UUID                              : GPU-b" in lines
    assert "        Used                              : 812 MiB" in lines


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("--query-gpu=uuid,colour",), 2, 'Field "colour" is not a valid field to query.'),
        (("--query-gpu=uuid",), 2, '"--format=" switch is missing. Please specify the output'),
        (("-L", "-i", "7"), 6, "No devices were found"),
    ],
)
def test_wrong_questions_end_with_the_codes_of_the_real_one(
    smi: Smi, argv: tuple[str, ...], code: int, said: str
) -> None:
    assert smi(*argv, code=code)[0].startswith(said)


def test_without_gpus_it_finds_no_devices(root: Path, smi: Smi) -> None:
    for index in (0, 1):
        (root / "dev" / f"nvidia{index}").unlink()

    assert smi(code=6) == ["No devices were found"]


def test_it_starts_under_a_bare_python() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SMI), "-L"], capture_output=True, text=True, check=False
    )

    assert done.returncode in {0, 6}, done.stderr
