"""One load carried by several processes: one clock, one history, nobody lost unnoticed."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hotfire.measure import history
from hotfire.traffic.record.files import Ended, Present, Started
from hotfire.traffic.runner import launch
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.workload.plan import LoadPlan, schedule
from hotfire.waiting import until
from tests.engine_process import EngineProcess, running_engine
from tests.patience import PATIENT


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine("--ttft-seconds", "0.02", "--tpot-seconds", "0.002") as engine:
        yield engine


def started(engine: EngineProcess, tmp_path: Path, **values: Any) -> RunningLoad:  # noqa: ANN401
    fields = {"url": engine.url, "model": "tiny", "gates": PATIENT, "workers": 2}
    plan = LoadPlan.model_validate(fields | {"rate_per_second": 30} | values)
    return launch.start(plan, history=tmp_path / "load.jsonl", log=tmp_path / "load.log")


def present(load: RunningLoad) -> Present:
    return Present.model_validate_json(load.files.present.read_bytes())


@pytest.fixture(scope="module")
def finished(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> RunningLoad:
    load = started(engine, tmp_path_factory.mktemp("finished"), duration_seconds=3)
    load.wait_finished(120)
    return load


def test_two_workers_make_one_history(finished: RunningLoad) -> None:
    report, planned = finished.stop(), schedule(finished.plan)

    rows = history.load(finished.files.history)
    assert report.valid, report.instrument
    assert [row.sched_ns - finished.t0_ns for row in rows] == [a.offset_ns for a in planned]
    assert {(row.seq % 2, row.worker) for row in rows} == {(0, 0), (1, 1)}
    assert all(row.complete for row in rows)
    assert report.planned == report.received == len(planned)
    log = finished.log.read_text()
    (shown,) = set(re.findall(r"^LLM +requests +(\d+) +0\(", log, re.MULTILINE))
    assert int(shown) == len(planned)


def test_clocks_of_one_machine_agree_within_the_error_recorded(finished: RunningLoad) -> None:
    ended = Ended.model_validate_json(finished.files.ended.read_bytes())

    assert len(ended.workers) == 2
    for worker in ended.workers:
        assert 0 < worker.clock_error_seconds < 0.1
        # Both processes read the same clock, so whatever offset was found is error.
        assert abs(worker.clock_offset_seconds) <= worker.clock_error_seconds + 1e-4
        assert abs(worker.clock_drift_seconds) <= 2 * worker.clock_error_seconds + 1e-3


def test_a_killed_worker_is_named_and_the_run_is_not_valid(
    engine: EngineProcess, tmp_path: Path
) -> None:
    load = started(engine, tmp_path, duration_seconds=600)
    load.wait_started()
    begun = Started.model_validate_json(load.files.started.read_bytes())
    until(lambda: len(load.rows()) > 10, within_seconds=30, what="rows")
    until(load.files.present.exists, within_seconds=30, what="word of the workers' fitness")
    os.kill(begun.workers[1].pid, signal.SIGKILL)
    until(lambda: load.rows()[-1].worker == 0, within_seconds=30, what="rows of the other")
    until(lambda: present(load).lost_workers, within_seconds=30, what="word of the loss")
    (lost,) = present(load).lost_workers
    assert begun.workers[1].name in lost

    report = load.stop()

    tripped = {gate.name: gate.reason for gate in report.instrument if not gate.holds}
    assert begun.workers[1].name in tripped["workers_lost"]
    assert "rows_accounted_for" in tripped
    assert json.loads(load.files.ended.read_text())["lost_workers"]


def test_a_stop_reaches_every_worker(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, duration_seconds=600)
    until(lambda: len(load.rows()) > 10, within_seconds=60, what="rows")

    report = load.stop()

    assert report.valid, report.instrument
    assert report.planned == report.received + report.censored == len(load.rows())
    assert not load.alive()
