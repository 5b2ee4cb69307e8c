"""Each gate trips on a real load that is really disturbed, and names what disturbed it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfire.traffic.record.files import Started
from hotfire.traffic.runner import launch
from hotfire.traffic.runner.launch import LoadReport, RunningLoad
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.waiting import pause
from tests.engine_process import EngineProcess, running_engine
from tests.patience import PATIENT

CPU_GROUPS = Path("/sys/fs/cgroup/cpu")


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as process:
        yield process


def started(engine: EngineProcess, folder: Path, limits: dict[str, float]) -> RunningLoad:
    plan = LoadPlan(
        url=engine.url, model="tiny", rate_per_second=40, duration_seconds=3, max_tokens=64,
        realtime=False, gates=PATIENT.model_copy(update=limits),
    )  # fmt: skip
    load = launch.start(plan, history=folder / "load.jsonl", log=folder / "load.log")
    load.wait_started()
    return load


def pid(load: RunningLoad) -> int:
    return Started.model_validate_json(load.files.started.read_bytes()).pid


def tripped(report: LoadReport) -> dict[str, Any]:
    return {gate.name: gate.reason for gate in report.instrument if not gate.holds}


def test_nothing_trips_without_a_disturbance(engine: EngineProcess, tmp_path: Path) -> None:
    assert tripped(started(engine, tmp_path, {}).wait_finished(60)) == {}


@pytest.mark.parametrize("gate", ["lag_p99_seconds", "lateness_p99_seconds"])
def test_a_process_that_is_stopped_is_late(
    engine: EngineProcess, tmp_path: Path, gate: str
) -> None:
    load = started(engine, tmp_path, {gate: 0.1})
    for _ in range(5):
        os.kill(pid(load), signal.SIGSTOP)
        pause(0.25, why="the load process stands still this long")
        os.kill(pid(load), signal.SIGCONT)
        pause(0.1, why="the load process notices")

    assert set(tripped(load.wait_finished(60))) == {gate}


@pytest.mark.skipif(os.geteuid() != 0 or not CPU_GROUPS.is_dir(), reason="needs root, cgroup v1")
def test_a_cpu_quota_trips_the_gate_of_its_name(engine: EngineProcess, tmp_path: Path) -> None:
    group = CPU_GROUPS / f"hotfire-gate-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text("2000")
        load = started_inside(group, engine, tmp_path)
        report = load.wait_finished(120)
    finally:
        group.rmdir()

    assert set(tripped(report)) == {"throttled_seconds"}


def started_inside(group: Path, engine: EngineProcess, folder: Path) -> RunningLoad:
    """Return a load whose process is under a quota from its start on."""
    own = Path("/proc/self/cgroup").read_text().split(":cpu:")[1].splitlines()[0].strip("/")
    home = CPU_GROUPS / own / "cgroup.procs"
    quota = group / "cpu.cfs_quota_us"
    quota.write_text("-1")
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        load = started(engine, folder, {"throttled_seconds": 0.0})
    finally:
        home.write_text(str(os.getpid()))
    quota.write_text("2000")
    pause(1.5, why="the quota holds the load back meanwhile")
    quota.write_text("-1")
    return load


def test_many_streams_trip_the_cpu_gate(engine: EngineProcess, tmp_path: Path) -> None:
    report = started(engine, tmp_path, {"cpu_ratio": 0.005}).wait_finished(60)

    assert set(tripped(report)) == {"cpu_ratio"}
    assert "cpu_ratio" in tripped(report)["cpu_ratio"]


def test_a_full_client_trips_the_cap(engine: EngineProcess, tmp_path: Path) -> None:
    plan = LoadPlan(
        url=engine.url, model="tiny", rate_per_second=100, duration_seconds=1, max_tokens=200,
        in_flight_cap=3, gates=PATIENT,
    )  # fmt: skip
    load = launch.start(plan, history=tmp_path / "load.jsonl", log=tmp_path / "load.log")

    assert set(tripped(load.wait_finished(60))) == {"held_back_by_client_cap"}
