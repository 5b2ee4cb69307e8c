"""The node autoscaler grows from N to N + 1 GPU nodes on demand, and back.

An engine that finds no GPU waits for a machine. Where none comes, every replica that an autoscaler
of pods adds stays on paper; where none goes again, the night costs what the day does; and one that
adds machines for pods that fit none of them costs without end.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fixtures.accelerators import Accelerators
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCA-003",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/cluster-administration/node-autoscaling/",
    features={"node-autoscaling"},
    cncf="schedulingOrchestration.cluster_autoscaling",
)

IDLE = ["sleep", "3600"]
# More than any machine has.
TOO_MANY, TOO_LARGE = 999, "too-large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The GPU nodes, and pods of ours that want more of them."""

    cluster: Cluster
    profile: TargetProfile
    scratch: Scratch

    def nodes(self) -> set[str]:
        """Return the GPU nodes that are Ready."""
        found = self.cluster.nodes(self.profile.accelerator.node_selector)
        return {node.name for node in found if node.ready}

    def running(self) -> int:
        pods = self.cluster.pods(self.scratch.namespace)
        return sum(pod.phase == "Running" for pod in pods)


@pytest.fixture
def fleet(cluster: Cluster, profile: TargetProfile, scratch: Scratch) -> Iterator[Fleet]:
    yield Fleet(cluster=cluster, profile=profile, scratch=scratch)
    scratch.clear()


def ask_for_one_more(fleet: Fleet, accelerators: Accelerators) -> int:
    """Start a pod for each free GPU and one more; return how many that are."""
    selector = fleet.profile.accelerator.node_selector
    nodes = [node for node in fleet.cluster.nodes(selector) if not node.unschedulable]
    wanted = sum(map(accelerators.free, nodes)) + 1
    for number in range(wanted):
        fleet.scratch.pod(f"wants-one-{number}", argv=IDLE, gpus=1)
    return wanted


def test_a_pod_too_many_brings_a_node_and_its_end_takes_it_away(
    fleet: Fleet, accelerators: Accelerators, scratch: Scratch, evidence: Evidence
) -> None:
    first, waits = fleet.nodes(), fleet.profile.waits
    scratch.pod(TOO_LARGE, argv=IDLE, gpus=TOO_MANY)
    wanted = ask_for_one_more(fleet, accelerators)
    run = of_target(
        lambda: fleet.running() == wanted,
        within_seconds=waits.node_added_seconds,
        what=f"{wanted} pods Running, one more than there were GPUs",
        poll_seconds=0.5,
        excused_seconds=fleet.cluster.silent_seconds,
    )
    grown = fleet.nodes()
    evidence.record("nodes_before", sorted(first))
    evidence.record("pods_with_a_gpu", wanted)
    evidence.record("running", fleet.running())
    evidence.record("nodes_with_one_pod_more", sorted(grown))
    assert run, f"{run}, and there are {len(grown)} of {len(first)} nodes"
    if grown == first:
        raise HarnessError("the pod too many found a GPU: somebody else gave one back meanwhile")
    # Negative control: a pod that no machine can take adds none.
    assert len(grown) == len(first) + 1, f"{len(grown - first)} nodes came for one GPU"

    for number in range(wanted):
        name = f"wants-one-{number}"
        fleet.cluster.delete("Pod", scratch.namespace, name, grace_seconds=0)
    shrunk = of_target(
        lambda: fleet.nodes() == first,
        within_seconds=waits.node_removed_seconds,
        what=f"{len(first)} nodes again",
        poll_seconds=0.5,
        excused_seconds=fleet.cluster.silent_seconds,
    )
    evidence.record("nodes_afterwards", sorted(fleet.nodes()))
    assert shrunk, f"{shrunk}: {sorted(fleet.nodes() - first)} stayed without work"
    still = scratch.get(TOO_LARGE).phase
    if still != "Pending":
        raise HarnessError(f"{TOO_LARGE} is {still}, and was to wait all the time")
