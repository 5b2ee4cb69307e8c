"""A recorded run can be judged again, and loses what it can no longer prove."""

from pathlib import Path

import pytest
from tests.sample_run import result

from hotfire import cli
from hotfire.cli import project
from hotfire.rundir import RunDirectory, RunInfo
from hotfire.verdict import Conformance, Verdict


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    (tmp_path / "suites").mkdir()
    monkeypatch.setattr(project, "__file__", str(tmp_path / "src/hotfire/cli/project.py"))
    info = RunInfo.begin(command=("pytest",), target_name="acme", tool_version="0.1.0")
    recorded = RunDirectory.create(tmp_path / "runs", info)
    recorded.path("seen.jsonl").touch()
    proven = result("API-001", Verdict.PASSED).model_copy(update={"evidence": ("seen.jsonl",)})
    recorded.append_result(proven)
    recorded.write_plan([proven.nodeid])
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


def test_operators_choice_stays_one(run: RunDirectory) -> None:
    run.append_result(result("API-002", Verdict.INCONCLUSIVE, reason="not selected"))

    assert cli.run(["judge", "latest"]) == 2
    assert run.results()[1].skipped_by_operator
