"""An API server that stands still for a while, in any phase, changes no verdict and leaves nothing.

One certification meets six such silences: from the first check on (which may be over before the
silence begins, that then meets the agents), while the stack comes up, in the baseline, in the
fault, in the recovery, and while everything is taken down.
"""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hotfire.cluster import RUN_LABEL, Cluster
from hotfire.lab.handles import breaking
from hotfire.lab.lab import Lab
from hotfire.own_folders import project_root
from hotfire.profile import TargetProfile
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict
from hotfire.waiting import until
from tests.breaking import events, hotfire

pytestmark = pytest.mark.lab

HANDLE, STALL_SECONDS = "cp1/kube-apiserver", 15
CHECK, FAULT = "test_taints_keep_cpu_pods_off_gpu_nodes", "test_target_withstands"
# What a machine with other work to do may say of itself, about any target.
OWN_DOUBTS = ("not fit to measure", "steady state", "noisy")


@dataclass(frozen=True, slots=True)
class Phase:
    """When to let the API server stand still: at the first such event of the run."""

    name: str
    what: str
    source: str = ""

    def began(self, told: list[dict[str, Any]]) -> bool:
        return any(one["what"] == self.what and self.source in one["source"] for one in told)


PHASES = [
    Phase("check", "case-started", CHECK),
    Phase("deploy", "case-started", FAULT),
    Phase("baseline", "baseline-start"),
    Phase("fault", "injected"),
    Phase("recovery", "verified-healed"),
    Phase("teardown", "taking-down"),
]


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Path:
    """The lab's target with a stack of its own of scripted engines, and short measurements."""
    document = yaml.safe_load(lab.state.target.read_text())
    document["kubeconfig"] = str(lab.state.kubeconfig)
    document["namespace"] = "stalled-stack"
    document["stack"] = {"deploy": True, "overlay": "scripted"}
    document["load"] = {"rate_per_second": 20.0, "max_tokens": 8}
    # Longer than a silence and its mending, so that the next phase meets one of its own.
    document["measurement"] |= {"baseline_seconds": 30, "baseline_requests": 400}
    path = tmp_path / "target.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def told_so_far(run: Path) -> list[dict[str, Any]]:
    path, found = run / "timeline.jsonl", []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):  # The last line may be half written.
            found.append(json.loads(line))
    return found


def stalled_in(lab: Lab, phase: Phase, runner: "subprocess.Popen[bytes]", run: Path) -> None:
    """Wait for a phase and let the API server stand still in it."""
    until(
        lambda: runner.poll() is not None or phase.began(told_so_far(run)),
        within_seconds=150,
        what=f"the phase {phase.name}",
        poll_seconds=0.05,
    )
    assert runner.poll() is None, f"the run ended before its phase {phase.name}"
    until(lambda: not breaking.of_lab(lab).all(), within_seconds=60, what="the former one mended")
    done = hotfire("break", HANDLE, "--how", "hang", "--for", str(STALL_SECONDS))
    assert done.returncode == 0, done.stderr


def certified(lab: Lab, target: Path, folder: Path) -> RunDirectory:
    """Certify as a user does, a silence in each phase."""
    run = folder / "run"
    argv = [sys.executable, "-m", "hotfire", "certify", "--target", str(target)]
    argv += ["--only", "SCH-002", "--only", "FLT-POD-001", "--run-dir", str(run)]
    with (folder / "log").open("wb") as log:
        runner = subprocess.Popen(argv, cwd=project_root(), stdout=log, stderr=log)
        try:
            for phase in PHASES:
                stalled_in(lab, phase, runner, run)
            runner.wait(200)
        finally:
            runner.terminate()
            runner.wait(250)
    return RunDirectory.open(run)


def is_sound(result: Result) -> bool:
    doubtful = any(word in result.reason for word in OWN_DOUBTS)
    unsure = result.kind == "fault" and result.verdict is Verdict.INCONCLUSIVE
    return result.verdict is Verdict.PASSED or (unsure and doubtful)


def test_verdicts_stand_and_nothing_is_left(lab: Lab, target: Path, tmp_path: Path) -> None:
    before = len(events(lab, HANDLE))

    run = certified(lab, target, tmp_path)

    log = (tmp_path / "log").read_text()
    judged = [one for one in run.results() if not one.skipped_by_operator]
    assert {one.id for one in judged} == {"SCH-002", "FLT-POD-001"}, log
    assert all(map(is_sound, judged)), log
    stalls = [one for one in events(lab, HANDLE)[before:] if one["event"] == "broken"]
    assert len(stalls) == len(PHASES)
    assert "the API server does not answer; waiting, up to 60 s" in log
    assert remains(target, run.info().run_id) == []


def remains(target: Path, run_id: str) -> list[str]:
    cluster, label = Cluster.connect(TargetProfile.read(target)), f"{RUN_LABEL}={run_id}"
    classes = cluster.list("PriorityClass", selector=label, api_version="scheduling.k8s.io/v1")
    found = [*cluster.list("Namespace", selector=label), *classes]
    return [one["metadata"]["name"] for one in found]
