"""The account that `hotfire doctor --rbac` prints is enough for what it was printed for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hotfire import metrics
from hotfire.doctor.roles import NAME, NAMESPACE
from hotfire.lab import kubectl_of_standing_lab
from hotfire.lab.lab import Lab
from hotfire.own_folders import project_root
from hotfire.rundir import Result, RunDirectory
from hotfire.verdict import Verdict
from tests.lab.test_api_server_stalls import OWN_DOUBTS
from tests.world import World

pytestmark = pytest.mark.lab

# Reading, asking, changing a route, the API server's own page, what we may ourselves; and a fault.
CHECKS = ("API-001", "GTW-003", "SCH-005", "SEC-007", "SEC-009")
FAULT = "FLT-POD-001"
FORBIDDEN = "403"
REQUESTS = "apiserver_request_total"
SHORT_LOOK = {
    "baseline_seconds": 20, "baseline_requests": 200, "window_seconds": 5, "window_requests": 40,
    "hold_seconds": 15,
}  # fmt: skip
# The cluster's own controllers are refused these in a namespace that is on its way out.
OTHERS = {("POST", "", "configmaps", ""), ("POST", "", "events", "")}


@pytest.fixture
def target(world: World, scripted_target: Path, tmp_path: Path) -> Path:
    """The scripted target, looked at for a short time before and after a fault."""
    document = yaml.safe_load(scripted_target.read_text())
    document["measurement"] |= SHORT_LOOK
    path = tmp_path / "target.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def account(lab: Lab, target: Path, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of the account, with the printed Roles and nothing more."""
    printed = hotfire("doctor", "--target", str(target), "--rbac", "--scope", "full")
    roles = tmp_path / "roles.yaml"
    roles.write_text(printed.stdout)
    assert printed.returncode == 0, printed.stderr
    kubectl(lab, "apply", "-f", str(roles))
    try:
        yield kubeconfig(lab, tmp_path / "kubeconfig")
    finally:
        kubectl(lab, "delete", "--ignore-not-found", "-f", str(roles))


def kubeconfig(lab: Lab, path: Path) -> Path:
    """Write a kubeconfig that shows the API server a token of the account."""
    document = yaml.safe_load(lab.state.kubeconfig.read_text())
    token = kubectl(lab, "--namespace", NAMESPACE, "create", "token", NAME, "--duration=1h").strip()
    for user in document["users"]:
        user["user"] = {"token": token}
    path.write_text(yaml.safe_dump(document))
    return path


def kubectl(lab: Lab, *words: str) -> str:
    argv = [str(kubectl_of_standing_lab()), "--kubeconfig", str(lab.state.kubeconfig), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hotfire(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hotfire", *words]
    return subprocess.run(
        argv, cwd=project_root(), capture_output=True, text=True, timeout=400, check=False
    )


def refusals(world: World) -> dict[tuple[str, ...], float]:
    """Return how often the API server has refused whom, by verb and resource."""
    labels = ("verb", "group", "resource", "subresource")
    page = metrics.parse(world.cluster.server_metrics())
    return {
        tuple(one.labels.get(label, "") for label in labels): one.value
        for one in page.series(REQUESTS, code=FORBIDDEN)
    }


def is_sound(result: Result) -> bool:
    """Return whether somebody could look, whatever it was that was seen."""
    unsure = result.verdict is Verdict.INCONCLUSIVE
    return not unsure or any(word in result.reason for word in OWN_DOUBTS)


def test_a_run_of_the_printed_account_is_refused_nothing(
    world: World, account: Path, target: Path, tmp_path: Path
) -> None:
    document = yaml.safe_load(target.read_text())
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(document | {"kubeconfig": str(account)}))
    only = ["--scope", "full", *(w for id_ in (*CHECKS, FAULT) for w in ("--only", id_))]
    before = refusals(world)

    seen = hotfire("doctor", "--target", str(own), "--scope", "full")
    run = tmp_path / "run"
    done = hotfire("certify", "--target", str(own), "--run-dir", str(run), *only)

    said = done.stdout + done.stderr
    judged = [one for one in RunDirectory.open(run).results() if not one.skipped_by_operator]
    refused = {
        what: n
        for what, n in refusals(world).items()
        if n > before.get(what, 0.0) and what not in OTHERS
    }
    assert "ok  permissions" in seen.stdout, seen.stdout + seen.stderr
    assert {one.id for one in judged} == {*CHECKS, FAULT}, said
    assert [f"{one.id}: {one.reason}" for one in judged if not is_sound(one)] == [], said
    assert "is forbidden" not in (run / "logs" / "pytest.log").read_text()
    assert refused == {}
