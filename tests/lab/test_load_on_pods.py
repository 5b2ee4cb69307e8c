"""A load carried by pods of the cluster comes back as one history."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hotfire.load_pods import LoadPods
from hotfire.measure import history
from hotfire.traffic.record.files import Ended
from hotfire.traffic.runner.pods import LABELS, NAME
from hotfire.traffic.runner.rated import rated_load
from tests.chaos.platform import run_directory
from tests.patience import PATIENT
from tests.world import World

pytestmark = pytest.mark.lab

# The lab's client machine is where hotfire runs; its packages are on every node.
PODS = LoadPods(
    master_host="10.0.254.1",
    host_libraries=["/opt/hotfire/tool", "/opt/hotfire/src"],
    cpu="100m",
)


def test_two_pods_carry_one_load(world: World, tmp_path: Path) -> None:
    load = world.profile.load.model_copy(update={"pods": PODS})
    profile = world.profile.model_copy(update={"load": load})
    two = {"workers": 2, "duration_seconds": 15, "gates": PATIENT}
    run = run_directory(tmp_path)
    with rated_load(profile, run, "L", cluster=world.cluster, **two) as running:
        running.wait_started()
        pods = world.cluster.pods(profile.system_namespace, LABELS)
        report = running.wait_finished(120)

    rows = history.load(running.files.history)
    ended = Ended.model_validate_json(running.files.ended.read_bytes())
    assert {worker.name.rpartition(":")[0] for worker in ended.workers} == {p.name for p in pods}
    assert len({pod.node for pod in pods}) == 2
    assert {row.worker for row in rows} == {0, 1}
    assert report.planned == report.received == len(rows)
    assert not ended.lost_workers
    assert all(worker.clock_error_seconds < 0.05 for worker in ended.workers)
    assert not world.cluster.pods(profile.system_namespace, LABELS)


def test_the_command_puts_workers_on_pods(
    world: World, scripted_target: Path, tmp_path: Path
) -> None:
    document = yaml.safe_load(scripted_target.read_text())
    document["load"] |= {"workers": 2, "pods": PODS.model_dump()}
    (tmp_path / "target.yaml").write_text(yaml.safe_dump(document))
    argv = [sys.executable, "-m", "hotfire", "load", "--target", str(tmp_path / "target.yaml")]
    argv += ["--duration", "10", "--run-dir", str(tmp_path / "run"), "--json"]

    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=200)

    assert done.returncode in {0, 1, 2}, done.stderr
    ended = Ended.model_validate_json((tmp_path / "run/history/load.end.json").read_bytes())
    assert [worker.name.startswith(NAME) for worker in ended.workers] == [True, True]
    assert ended.received == ended.planned_until_stop > 100
    assert (
        world.cluster.get("Job", world.profile.system_namespace, NAME, api_version="batch/v1")
        is None
    )
