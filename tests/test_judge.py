"""A recorded run can be judged again, and loses what it can no longer prove."""

import json
from pathlib import Path

import pytest

from hotfire import cli, own_folders
from hotfire.experiment import Facts
from hotfire.experiment.record import write_facts
from hotfire.measure.history import to_row
from hotfire.profile import Budgets, Measurement
from hotfire.rundir import BudgetRow, Event, Result, RunDirectory, RunInfo
from hotfire.verdict import Conformance, Verdict
from tests.sample_run import FAULT, SECOND, requests, result


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    (tmp_path / "suites").mkdir()
    monkeypatch.setattr(own_folders, "__file__", str(tmp_path / "src/hotfire/own_folders.py"))
    info = RunInfo.begin(command=("pytest",), target_name="acme", tool_version="0.1.0")
    recorded = RunDirectory.create(tmp_path / "runs", info)
    recorded.path("seen.jsonl").touch()
    proven = result("API-001", Verdict.PASSED).model_copy(update={"evidence": ("seen.jsonl",)})
    recorded.append_result(proven)
    recorded.write_plan([proven.nodeid])
    recorded.update_info(finished_at=info.started_at, conformance=Conformance.CONFORMANT)
    return recorded


def test_whole_run_keeps_its_verdicts(run: RunDirectory) -> None:
    before = run.results()

    assert cli.run(["judge", "latest"]) == 0
    assert run.results() == before
    assert run.info().conformance is Conformance.CONFORMANT


def test_pass_without_its_evidence_becomes_inconclusive(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    run.path("seen.jsonl").unlink()

    assert cli.run(["judge", "latest"]) == 2
    assert run.results()[0].reason == "its evidence is missing: seen.jsonl"
    assert "API-001 test_it: passed -> inconclusive" in capsys.readouterr().out


def test_run_that_was_killed_is_inconclusive(run: RunDirectory) -> None:
    run.write_plan([*run.planned(), "suites/api/test_next.py::test_it"])

    assert cli.run(["judge", "latest"]) == 2


def test_run_that_never_came_to_its_end_is_no_pass(run: RunDirectory) -> None:
    run.update_info(finished_at=None, conformance=None)

    assert cli.run(["judge", "latest"]) == 2
    assert run.results()[-1].reason == "it never came to its end"


def test_trouble_of_the_run_is_kept(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    trouble = Result.of_run("teardown of stack", "ClusterError: nobody answered")
    run.append_result(trouble)
    run.update_info(conformance=Conformance.INCONCLUSIVE)

    assert cli.run(["judge", "latest"]) == 2
    assert run.results()[-1] == trouble
    assert "the run itself was in trouble, 1 passed" in capsys.readouterr().out


def test_what_made_a_run_inconclusive_beyond_its_results_is_kept(run: RunDirectory) -> None:
    run.update_info(conformance=Conformance.INCONCLUSIVE, notes=("interrupted by the operator",))

    assert cli.run(["judge", "latest"]) == 2
    assert cli.run(["judge", "latest"]) == 2
    assert [one.reason for one in run.results()[1:]] == [
        "it was inconclusive, beyond its results: interrupted by the operator"
    ]


def test_operators_choice_stays_one(run: RunDirectory) -> None:
    run.append_result(result("API-002", Verdict.INCONCLUSIVE, reason="not selected"))

    assert cli.run(["judge", "latest"]) == 2
    assert run.results()[1].skipped_by_operator


def test_fault_gets_the_budgets_and_figures_of_its_new_judgement(run: RunDirectory) -> None:
    stale = BudgetRow(name="recovery_seconds", limit=1, verdict=Verdict.PASSED)
    old = result("FLT-POD-001", Verdict.PASSED)
    run.append_result(old.model_copy(update={"budgets": (stale,), "figures": {"healed": "yes"}}))
    write_fault(run, Budgets(error_ratio=0.02, recovery_seconds=20))

    assert cli.run(["judge", "latest"]) == 2

    judged = run.results()[1]
    assert [row.name for row in judged.budgets] == ["recovery_seconds", "error_ratio"]
    assert judged.budgets[1].verdict is Verdict.FAILED
    assert judged.figures["healed"] == "yes"
    assert judged.figures["lost_requests"] == 50
    assert judged.reason == "the record is incomplete: the experiment left no journal"


def test_fault_that_was_undecided_beyond_its_judgement_stays_so(run: RunDirectory) -> None:
    old = result("FLT-POD-001", Verdict.INCONCLUSIVE, reason="teardown: OSError: it is not healed")
    run.append_result(old.model_copy(update={"figures": {"reason": "every budget was kept"}}))
    write_fault(run, Budgets(error_ratio=0.02, recovery_seconds=20))

    assert cli.run(["judge", "latest"]) == 2

    assert run.results()[1].reason == "teardown: OSError: it is not healed"


def test_fault_that_its_judgement_left_undecided_is_judged_anew(run: RunDirectory) -> None:
    told = "no steady state before the fault"
    old = result("FLT-POD-001", Verdict.INCONCLUSIVE, reason=f"HarnessError: {told}")
    run.append_result(old.model_copy(update={"figures": {"reason": told}}))
    write_fault(run, Budgets(error_ratio=0.02, recovery_seconds=20))

    cli.run(["judge", "latest"])

    assert run.results()[1].reason == "the record is incomplete: the experiment left no journal"


def test_what_is_said_of_every_fault_follows_their_new_judgement(run: RunDirectory) -> None:
    run.append_result(result("FLT-POD-001", Verdict.PASSED))
    proven = result("SLO-006", Verdict.PASSED).model_copy(update={"evidence": ("seen.jsonl",)})
    run.append_result(proven)
    write_fault(run, Budgets(error_ratio=0.02, recovery_seconds=20))

    assert cli.run(["judge", "latest"]) == 2

    judged = run.results()[2]
    assert judged.verdict is Verdict.INCONCLUSIVE
    assert judged.reason.startswith("after FLT-POD-001: the record is incomplete")


def write_fault(run: RunDirectory, budgets: Budgets) -> None:
    """Write the record of the sample run's fault, all but Chaos Toolkit's journal."""
    name = "FLT-POD-001"
    facts = Facts(
        experiment=name,
        slo=Budgets(error_ratio=0.01, ttft_p95_seconds=2.0),
        budgets=budgets,
        measurement=Measurement(window_seconds=5, window_requests=20, hold_seconds=10),
        self_healing=True,
    )
    write_facts(run, facts)
    lines = [json.dumps(to_row(request)) for request in requests()]
    run.history_path(name).write_text("\n".join(lines) + "\n")
    stamps = {"injected": FAULT[0] - SECOND, "took-effect": FAULT[0], "verified-healed": FAULT[1]}
    for what, at_ns in stamps.items():
        event = Event(at_ns=at_ns, kind="fault", what=what, source="test", experiment=name)
        run.append_event(event)
