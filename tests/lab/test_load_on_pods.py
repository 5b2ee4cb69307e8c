"""A load carried by pods of the cluster comes back as one history."""

from pathlib import Path

import pytest

from hotfire import history
from hotfire.profile import LoadPods
from hotfire.traffic.files import Ended
from hotfire.traffic.plan import GateLimits
from hotfire.traffic.pods import NAME, running_on_pods
from hotfire.traffic.rated import rated_plan
from hotfire.waiting import until
from tests.world import World

pytestmark = pytest.mark.lab

# The lab's client machine is where hotfire runs; its packages are on every node.
PODS = LoadPods(
    master_host="10.0.254.1",
    host_libraries=["/opt/hotfire/tool", "/opt/hotfire/src"],
    cpu="100m",
)
# Two shared cores carry the whole lab; this is about rows.
PATIENT = GateLimits(lag_p99_seconds=60, lateness_p99_seconds=60, cpu_ratio=1)


def test_two_pods_carry_one_load(world: World, tmp_path: Path) -> None:
    load = world.profile.load.model_copy(update={"pods": PODS})
    profile = world.profile.model_copy(update={"load": load})
    plan = rated_plan(profile, workers=2, duration_seconds=15, gates=PATIENT)

    with running_on_pods(
        plan, profile=profile, cluster=world.cluster, run_id="tests", history=tmp_path / "l.jsonl"
    ) as running:
        pods = world.cluster.pods(profile.system_namespace, {"app.kubernetes.io/name": NAME})
        report = running.wait_finished(120)

    rows = history.load(running.files.history)
    ended = Ended.model_validate_json(running.files.ended.read_bytes())
    assert {worker.name.rpartition(":")[0] for worker in ended.workers} == {p.name for p in pods}
    assert len({pod.node for pod in pods}) == 2
    assert {row.worker for row in rows} == {0, 1}
    assert report.planned == report.received == len(rows)
    assert not ended.lost_workers
    assert all(worker.clock_error_seconds < 0.05 for worker in ended.workers)
    until(
        lambda: not world.cluster.pods(profile.system_namespace, {"app.kubernetes.io/name": NAME}),
        within_seconds=60,
        what="the load's pods gone",
    )
