"""``bench.suites`` divides the seconds of a run's checks by what they were taken for."""

import json
from pathlib import Path

import pytest

from bench.suites import Taken, covered, read, told
from hotfire.rundir import TIME_SPENT, Event, RunDirectory, RunInfo
from hotfire.verdict import Verdict
from tests.sample_run import result

READY = {"kind": "wait", "what": "engines Ready", "seconds": 1.0, "times": 2}
CALLS = {"kind": "API call", "what": "GET", "seconds": 0.25, "times": 40}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    info = RunInfo.begin(command=("pytest",), target_name="acme", tool_version="0.1.0")
    made = RunDirectory.create(tmp_path / "runs", info)
    for id_, case in (("API-001", "test_it"), ("API-002", "test_it"), ("API-002", "test_more")):
        made.append_result(result(id_, Verdict.PASSED, case=case))
    made.append_result(result("FLT-A-1", Verdict.PASSED))
    made.append_result(result("API-009", Verdict.INCONCLUSIVE, reason="not selected"))
    return made


def note(run: RunDirectory, case: str, *spent: object) -> None:
    source = f"suites/api/test_API-002.py::{case}"
    event = Event(at_ns=1, kind="phase", what=TIME_SPENT, source=source, data={"spent": spent})
    run.append_event(event)


def exchanged(run: RunDirectory, *ends_and_seconds: tuple[float, float]) -> None:
    """Let the case of API-001 have sent requests."""
    folder = run.evidence_dir("API-001", "test_it")
    entries = [
        {"at_ns": int(end * 1e9), "request": {}, "reply": {"seconds": seconds}}
        for end, seconds in ends_and_seconds
    ]
    lines = [json.dumps(entry) for entry in [*entries, {"verb": "apply"}]]
    (folder / "exchanges.jsonl").write_text("\n".join(lines) + "\n")
    [first, *others] = run.results()
    name = run.relative(folder / "exchanges.jsonl")
    run.replace_results([first.model_copy(update={"evidence": (name,)}), *others])


def by_name(run: RunDirectory) -> dict[str, Taken]:
    return {one.name: one for one in read(run)}


def test_checks_come_slowest_first_and_faults_and_what_was_left_out_not(run: RunDirectory) -> None:
    assert [(one.name, one.seconds) for one in read(run)] == [("API-002", 3.0), ("API-001", 1.5)]


def test_seconds_are_divided_and_the_rest_is_told(run: RunDirectory) -> None:
    note(run, "test_it", READY, CALLS)
    note(run, "test_more", READY)

    cells = by_name(run)["API-002"].cells()

    assert cells == ["API-002", "3.0", "2.0", "0.0", "0.0", "0.2", "0.0", "0.8", "0", "0.0"]
    assert [str(one) for one in by_name(run)["API-002"].longest()] == [
        "2.0 s wait: engines Ready (4 times)"
    ]


def test_requests_of_many_threads_are_in_flight_together(run: RunDirectory) -> None:
    exchanged(run, (102.0, 2.0), (101.5, 1.0), (110.0, 1.0))

    taken = by_name(run)["API-001"]

    assert len(taken.exchanges) == 3
    assert covered(taken.exchanges) == pytest.approx(3.0)


def test_all_of_it_is_told_of_the_slowest_and_of_all(run: RunDirectory) -> None:
    note(run, "test_it", READY)

    text = told(run, most=1)

    assert "API-001" not in text
    assert "| all 2   | 4.5     | 1.0" in text
    assert "API-002: 1.0 s wait: engines Ready (2 times)" in text


def test_run_that_noted_nothing_says_so(run: RunDirectory) -> None:
    assert "recorded before runs noted" in told(run, most=10)
