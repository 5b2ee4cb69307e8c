"""What is read from a run directory to judge an experiment, and what is written there for it."""

import json
from pathlib import Path

import pytest

from hotfire.experiment import Facts, Judgement, judge_recorded
from hotfire.experiment.record import hear_engines, write_facts
from hotfire.measure.crosscheck import Agreement, CrossCheck
from hotfire.profile import Budgets, Measurement
from hotfire.rundir import RunDirectory
from hotfire.traffic.record import gates
from hotfire.traffic.record.files import Files, line
from hotfire.verdict import Verdict
from tests.chaos.platform import profile_for, run_directory
from tests.experiment.test_judgement import HEALED, ID, INJECTED, event, journal, rows
from tests.prometheus_archive import remembering


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return the whole record of a fault that nobody noticed, but for the engines' account."""
    run = run_directory(tmp_path)
    files = Files(run.history_path(ID))
    files.history.write_bytes(b"".join(map(line, rows())))
    gates.write(files.instrument, [gates.dead("").model_copy(update={"holds": True})], None)
    budgets = Budgets(error_ratio=0.01, recovery_seconds=10)
    write_facts(
        run,
        Facts(
            experiment=ID, slo=budgets, budgets=budgets, measurement=Measurement(),
            self_healing=True,
        ),
    )  # fmt: skip
    run.write_text(f"journals/{ID}.json", json.dumps(journal()))
    for what, second in {"baseline-start": -1, "injected": INJECTED, "took-effect": INJECTED,
                         "verified-healed": HEALED}.items():  # fmt: skip
        run.append_event(event(what, second))
    return run


def heard(run: RunDirectory, tmp_path: Path, *, engine_ttft: float) -> CrossCheck:
    """Ask a Prometheus about engines that made every first token when the client saw it."""
    seen = [(row.first_ns or 0) / 1e9 for row in rows()]
    with remembering({"a": seen[::2], "b": seen[1::2]}, ttft_seconds=engine_ttft) as url:
        profile = profile_for(tmp_path, "http://127.0.0.1:1", gateway="http://127.0.0.1:1")
        hear_engines(run, ID, profile.model_copy(update={"prometheus_url": url}))
    return CrossCheck.model_validate_json(Files(run.history_path(ID)).crosscheck.read_bytes())


def judgement(run: RunDirectory) -> Judgement:
    return judge_recorded(run, ID)


def test_the_engines_are_heard_on_the_time_before_the_fault(
    run: RunDirectory, tmp_path: Path
) -> None:
    found = heard(run, tmp_path, engine_ttft=0.09)

    assert found.agreement is Agreement.AGREES
    assert found.reason.startswith("before the fault, the client's mean TTFT is 10.0 ms above")
    assert found.requests_by_client <= 5 * INJECTED
    assert judgement(run).verdict is Verdict.PASSED


def test_engines_that_contradict_the_client_leave_nothing_to_conclude(
    run: RunDirectory, tmp_path: Path
) -> None:
    heard(run, tmp_path, engine_ttft=0.2)

    assert judgement(run).verdict is Verdict.INCONCLUSIVE
    assert "below the engines'" in judgement(run).reason


def test_without_a_prometheus_the_record_says_why_nobody_was_asked(
    run: RunDirectory, tmp_path: Path
) -> None:
    hear_engines(run, ID, profile_for(tmp_path, "http://127.0.0.1:1", gateway="http://x"))

    told = Files(run.history_path(ID)).crosscheck.read_text()
    assert "the target file names no prometheus_url" in told
    assert judgement(run).verdict is Verdict.PASSED
