"""Taints keep CPU pods off GPU nodes.

A batch job or a sidecar that lands on a GPU node takes the CPU and memory that the engine beside it
was sized for; the taint is the only thing that stops a pod which never asked for a GPU.
"""

from functools import partial
from typing import Any

from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCH-002",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
    scope=Scope.CORE,
)

IDLE = ["sleep", "600"]


def scheduled(scratch: Scratch, pod: str) -> dict[str, Any]:
    """Return the scheduler's own word on a pod; empty while it has said nothing."""
    conditions = scratch.document(pod).get("status", {}).get("conditions", [])
    found = [each for each in conditions if each["type"] == "PodScheduled"]
    return found[0] if found else {}


def test_pod_without_toleration_stays_pending_for_the_taint(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    nodes = [node.name for node in probed_nodes(cluster, profile, evidence)]
    words: dict[str, dict[str, Any]] = {}
    for node in nodes:
        selector = profile.accelerator.node_selector
        scratch.pod(
            f"cpu-{node}", argv=IDLE, node=node, node_selector=selector, tolerate_gpu_taint=False
        )
    for node in nodes:
        words[node] = of_target(
            partial(scheduled, scratch, f"cpu-{node}"),
            within_seconds=profile.waits.unschedulable_seconds,
            what=f"the scheduler's word on cpu-{node}",
            excused_seconds=cluster.silent_seconds,
        ).required()
    evidence.record("scheduler", words)

    assert nodes, f"no node matches {profile.accelerator.node_selector}"
    for node, word in words.items():
        assert word["status"] == "False", f"a pod without toleration was bound to {node}"
        # Newer schedulers no longer name the taint; that this key is the reason is shown by the
        # second case, whose pod differs in the toleration of it alone.
        assert "untolerated taint" in word["message"], f"{node}: {word['message']}"


def test_same_pod_with_toleration_binds(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    nodes = [node.name for node in probed_nodes(cluster, profile, evidence)]
    for node in nodes:
        scratch.pod(f"tolerant-{node}", argv=IDLE, node=node)
    bound = {node: scratch.wait_phase(f"tolerant-{node}", "Running").node for node in nodes}
    evidence.record("bound", bound)

    assert bound
    assert all(node == place for node, place in bound.items()), bound
