"""A run against the lab keeps the lab's logs as soon as something of it is not well."""

from pathlib import Path

import pytest

from hotfire.cli.lab_logs import LabLogs
from hotfire.lab.lab import Lab
from hotfire.lab.shape.state import LabRecord, Ports
from hotfire.profile import TargetProfile
from hotfire.rundir import RunDirectory
from hotfire.verdict import Verdict
from tests.sample_run import write_sample_run

LOG = "logs/lab/n1/kubelet.log"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab that stands as far as its state tells, with one log."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    lab = Lab(tmp_path)
    record = LabRecord(
        checkout=str(tmp_path), started_at="", complete=True, topology={}, ports=Ports()
    )
    lab.state.write(record)
    path = lab.rack.log("n1", "kubelet")
    path.parent.mkdir(parents=True)
    path.write_text("started\n")
    return lab


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run without results yet; they lie beside it."""
    run = write_sample_run(tmp_path / "runs")
    run.replace_results([])
    return run


def profile(kubeconfig: Path, gateway: Path) -> TargetProfile:
    gateway.write_text(
        f"name: t\nkubeconfig: {kubeconfig}\ngateway: {{url: 'http://g', class_name: c}}\n"
        "engine: {model: m}\nbudgets: lab\n"
    )
    return TargetProfile.read(gateway)


def end_one(run: RunDirectory, former: RunDirectory, verdict: Verdict) -> None:
    result = former.results()[0]
    run.append_result(result.model_copy(update={"verdict": verdict}))


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [(Verdict.PASSED, False), (Verdict.FAILED, True), (Verdict.INCONCLUSIVE, True)],
)
def test_logs_are_kept_with_what_is_not_well(
    lab: Lab, run: RunDirectory, tmp_path: Path, verdict: Verdict, kept: bool
) -> None:
    logs = LabLogs(run, profile(lab.state.kubeconfig, tmp_path / "target.yaml"))
    end_one(run, write_sample_run(tmp_path / "others"), verdict)

    logs.look()

    assert run.path(LOG).exists() is kept


def test_a_run_against_another_cluster_keeps_no_logs_of_the_lab(
    lab: Lab, run: RunDirectory, tmp_path: Path
) -> None:
    logs = LabLogs(run, profile(tmp_path / "elsewhere", tmp_path / "target.yaml"))
    end_one(run, write_sample_run(tmp_path / "others"), Verdict.FAILED)

    logs.look()

    assert not run.path(LOG).exists()


def test_logs_are_kept_of_a_run_that_broke_off_without_a_result(
    lab: Lab, run: RunDirectory, tmp_path: Path
) -> None:
    logs = LabLogs(run, profile(lab.state.kubeconfig, tmp_path / "target.yaml"))

    logs.collect()

    assert (run.root / LOG).read_text() == "started\n"
