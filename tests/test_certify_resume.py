"""A run that was cut short is gone on with as it was ordered."""

from pathlib import Path
from typing import Any

import pytest

from hotfire import cli, own_folders
from hotfire.cli.certify import CertifyOptions
from hotfire.rundir import Result, RunDirectory, RunInfo
from hotfire.verdict import Verdict
from tests.sample_run import result

ORDER = CertifyOptions(
    target=Path("target.yaml"), scope="full", level="must", repeat=3, only=("FLT-A-1", "gpu")
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    (tmp_path / "suites").mkdir()
    monkeypatch.setattr(own_folders, "__file__", str(tmp_path / "src/hotfire/own_folders.py"))
    command = ("hotfire", "certify", *ORDER.words())
    info = RunInfo.begin(command=command, target_name="acme", tool_version="0.1.0")
    recorded = RunDirectory.create(tmp_path / "runs", info)
    for one in (
        result("API-001", Verdict.PASSED),
        result("API-002", Verdict.FAILED),
        result("API-003", Verdict.INCONCLUSIVE),
        Result.of_run("end", "interrupted by the operator"),
    ):
        recorded.append_result(one)
    recorded.write_plan([one.nodeid for one in recorded.results()[:3]] + ["suites/x.py::test_next"])
    return recorded


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []

    def carry_out(order: CertifyOptions, *, resumed: RunDirectory | None = None) -> int:
        heard.append((order, resumed))
        return 0

    monkeypatch.setattr("hotfire.cli.certify.carry_out", carry_out)
    return heard


def test_its_order_and_its_verdicts_stand(
    run: RunDirectory, carried: list[tuple[Any, ...]]
) -> None:
    assert cli.run(["certify", "--resume", "latest"]) == 0

    [(order, resumed)] = carried
    assert (order, resumed.root) == (ORDER, run.root)
    assert [one.id for one in run.results()] == ["API-001", "API-002"]
    assert run.path("results.before-resume.jsonl").exists()
    assert run.info().finished_at is None


def test_no_other_option_may_be_given(
    run: RunDirectory, carried: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["certify", "--resume", "latest", "--scope", "full"]) == cli.BAD_ARGUMENTS

    assert "give no other option" in capsys.readouterr().err
    assert carried == []


def test_run_of_another_command_is_refused(
    run: RunDirectory, carried: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    run.update_info(command=("pytest", "suites"))

    assert cli.run(["certify", "--resume", "latest"]) == cli.BAD_ARGUMENTS
    assert "was begun by `pytest suites`" in capsys.readouterr().err


def test_whole_run_has_nothing_left(
    run: RunDirectory, carried: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_plan([one.nodeid for one in run.results()[:2]])

    assert cli.run(["certify", "--resume", "latest"]) == cli.BAD_ARGUMENTS
    assert "nothing is left to do" in capsys.readouterr().err
