"""The load process from outside: started, watched, stopped, killed."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hotfire.errors import InstrumentError
from hotfire.measure import history
from hotfire.traffic.record.files import Present
from hotfire.traffic.runner import launch
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.traffic.workload.plan import LoadPlan, schedule
from hotfire.waiting import until
from tests.engine_process import EngineProcess
from tests.patience import PATIENT


def started(engine: EngineProcess, tmp_path: Path, **values: Any) -> RunningLoad:  # noqa: ANN401
    fields: dict[str, Any] = {"url": engine.url, "model": "tiny", "rate_per_second": 20}
    plan = LoadPlan(**fields | {"gates": PATIENT} | values)
    return launch.start(plan, history=tmp_path / "h" / "load.jsonl", log=tmp_path / "load.log")


def test_a_plan_runs_to_its_end(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, duration_seconds=2, seed=1)

    report = load.wait_finished(60)

    planned = schedule(load.plan)
    rows = history.load(load.files.history)
    assert report.valid, report.instrument
    assert (report.planned, report.received, report.censored) == (len(planned), len(planned), 0)
    assert [row.sched_ns - load.t0_ns for row in rows] == [a.offset_ns for a in planned]
    assert all(row.complete for row in rows)
    assert len(load.rows()) == len(planned)


def test_a_load_tells_how_fit_it_is_while_it_runs(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, duration_seconds=600, in_flight_cap=1, rate_per_second=100)

    def held_back() -> int:
        present = load.files.present
        return present.exists() and Present.model_validate_json(present.read_bytes()).not_sent

    until(held_back, within_seconds=60, what="word of requests held back")
    load.stop()

    assert not load.files.present.exists()


def test_it_stops_early_and_what_was_not_due_is_no_part_of_the_plan(
    engine: EngineProcess, tmp_path: Path
) -> None:
    load = started(engine, tmp_path, duration_seconds=600, process="constant")
    until(lambda: len(load.rows()) >= 5, within_seconds=60, what="five rows")

    report = load.stop()

    assert report.valid, report.instrument
    assert report.planned == report.received + report.censored
    assert report.planned == len(load.rows())
    assert 5 <= report.planned < 12_000
    assert not load.alive()
    assert load.stop() is report


def test_in_flight_at_the_stop_ends_or_is_censored(engine: EngineProcess, tmp_path: Path) -> None:
    engine.script(misbehaviour="mute", every=2)
    load = started(engine, tmp_path, duration_seconds=600, grace_seconds=0.5, deadline_seconds=100)
    until(lambda: len(load.rows()) >= 5, within_seconds=60, what="five rows")

    report = load.stop()

    assert report.censored > 0
    assert report.received >= 5
    assert sum(row.censored for row in load.rows()) == report.censored
    assert report.planned == len(load.rows())


def test_failures_are_rows_and_not_the_instruments_fault(
    engine: EngineProcess, tmp_path: Path
) -> None:
    engine.script(misbehaviour="rst", every=2)
    load = started(engine, tmp_path, duration_seconds=1)

    report = load.wait_finished(60)

    kinds = {row.error_class for row in load.rows()}
    assert report.valid, report.instrument
    assert kinds == {None, history.FailureClass.RESET_MIDSTREAM}


def test_a_tripped_gate_is_written_and_raised(engine: EngineProcess, tmp_path: Path) -> None:
    limits = PATIENT.model_copy(update={"cpu_ratio": 1e-9})
    load = started(engine, tmp_path, duration_seconds=1, gates=limits)

    report = load.wait_finished(60)

    document = json.loads(load.files.instrument.read_text())
    assert not report.valid
    assert [gate["name"] for gate in document["gates"] if not gate["holds"]] == ["cpu_ratio"]
    with pytest.raises(InstrumentError, match="cpu_ratio"):
        report.check()


def test_a_history_that_contradicts_itself_trips_a_gate(
    engine: EngineProcess, tmp_path: Path
) -> None:
    load = started(engine, tmp_path, duration_seconds=1)
    until(lambda: not load.alive(), within_seconds=60, what="the end of the plan")
    wrong = json.loads(load.files.history.read_text().splitlines()[0])
    wrong |= {"seq": 10_000, "first_ns": wrong["headers_ns"] - 1}
    with load.files.history.open("a") as file:
        file.write(json.dumps(wrong) + "\n")

    report = load.stop()

    with pytest.raises(InstrumentError, match="first_ns precedes headers_ns"):
        report.check()
    assert load.files.instrument.exists()
    assert len(load.rows()) == report.received


def test_a_killed_load_is_not_valid(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, duration_seconds=600)
    load.wait_started()
    load.kill()

    report = load.stop()

    assert not report.valid
    assert [gate.name for gate in report.instrument] == ["ended_by_itself"]


def test_a_load_that_cannot_start_shows_its_log(engine: EngineProcess, tmp_path: Path) -> None:
    load = started(engine, tmp_path, url="http://no-such-host.invalid")

    with pytest.raises(InstrumentError, match="no load: "):
        load.wait_started()


def test_two_loads_do_not_share_a_history(engine: EngineProcess, tmp_path: Path) -> None:
    with launch.running(
        LoadPlan(url=engine.url, model="tiny", duration_seconds=600, gates=PATIENT),
        history=tmp_path / "a.jsonl",
        log=tmp_path / "log",
    ) as load:
        until(load.rows, within_seconds=60, what="a row")
        with pytest.raises(InstrumentError, match="exists"):
            launch.start(load.plan, history=tmp_path / "a.jsonl", log=tmp_path / "log")
    assert not load.alive()


PARENT = """
import os, sys
from pathlib import Path
from hotfire.traffic.runner import launch
from hotfire.traffic.workload.plan import LoadPlan
here = Path(sys.argv[2])
load = launch.start(LoadPlan(url=sys.argv[1], model="tiny"), history=here / "h.jsonl",
                    log=here / "log")
load.wait_started()
print(load._process.pid, flush=True)
sys.stdin.read()
"""


def test_the_load_dies_with_its_parent(engine: EngineProcess, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, engine.url, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait(timeout=20)

    until(lambda: not running(pid), within_seconds=20, what="the load process to be gone")


def running(pid: int) -> bool:
    """Return whether a process exists and is no zombie waiting for somebody to reap it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_launching_does_not_import_locust() -> None:
    code = "import sys, hotfire.traffic.runner.launch; sys.exit('gevent' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
