"""Serving pods preempt lower-priority pods, never the reverse.

When every GPU is taken, the replica that would carry the peak waits behind somebody's training run
unless it may take its place; and a training run must not take the place of a replica. A
PriorityClass that lies in the cluster does neither: the engine has to name it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest

from fixtures.accelerators import Accelerators
from fixtures.scratch import Decision, Scratch
from fixtures.stack import Stack
from fixtures.stand_ins import IDLE, engine_rules
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Node, pinned, rules_about_nodes
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCH-006",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/",
)

# After the victim's grace, of which ours have none.
BOUND_SECONDS = 30.0
OVER = ("Succeeded", "Failed")
NOTHING = Decision("", "no decision yet")


@dataclass(frozen=True, slots=True)
class FullNode:
    """A node whose every accelerator is held, at least one of them by a pod of ours."""

    node: Node
    batch: tuple[str, ...]
    """Our pods; they have no PriorityClass."""


@pytest.fixture
def full_node(
    profile: TargetProfile, cluster: Cluster, accelerators: Accelerators, scratch: Scratch
) -> Iterator[FullNode]:
    """Fill one node on which nobody but pods of ours can become a victim."""
    free = {
        node.name: (accelerators.free(node), node)
        for node in cluster.nodes(profile.accelerator.node_selector)
        if node.ready and not node.unschedulable
    }
    for count, node in sorted(free.values(), key=lambda each: -each[0]):
        names = tuple(f"batch-{number}" for number in range(count))
        for name in names:
            scratch.pod(name, argv=IDLE, gpus=1, node=node.name)
        bound = all(one.node for one in scratch.decisions().values()) and names
        if bound and not others_at_risk(cluster, scratch, node, names[0]):
            yield FullNode(node, names)
            return
        scratch.clear()
    raise HarnessError(
        f"no node has a free {profile.accelerator.resource} and no other pod of low priority that "
        "holds one; free one, for what is preempted must be ours"
    )


def others_at_risk(cluster: Cluster, scratch: Scratch, node: Node, ours: str) -> list[str]:
    """Return whose pods on a node rank below ours: they would be preempted first."""
    rank = priority(scratch.document(ours))
    listed = cluster.list("Pod", field_selector=f"spec.nodeName={node.name}")
    return [
        f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in listed
        if one["metadata"]["namespace"] != scratch.namespace
        and one["status"].get("phase") not in OVER
        and priority(one) < rank
    ]


def priority(pod: Document) -> int:
    return int(pod.get("spec", {}).get("priority") or 0)


def uids_on(cluster: Cluster, node: Node, *, but: str) -> set[str]:
    """Return the pods on a node, those of one namespace left out."""
    listed = cluster.list("Pod", field_selector=f"spec.nodeName={node.name}")
    return {one["metadata"]["uid"] for one in listed if one["metadata"]["namespace"] != but}


def left_of(cluster: Cluster, scratch: Scratch, names: tuple[str, ...]) -> list[str]:
    """Return which of our pods are still there and not on their way out."""
    found = {pod.name for pod in cluster.pods(scratch.namespace) if not pod.deleting}
    return [name for name in names if name in found]


def test_engine_takes_the_place_of_one_batch_pod(
    cluster: Cluster, stack: Stack, scratch: Scratch, full_node: FullNode, evidence: Evidence
) -> None:
    found = engine_rules(cluster, stack)
    spec = found.engine["spec"]
    kept = {key: spec[key] for key in ("priorityClassName",) if spec.get(key)}
    rules = pinned(rules_about_nodes(found.rules), full_node.node.name)
    before = uids_on(cluster, full_node.node, but=scratch.namespace)
    scratch.pod("engine", argv=IDLE, gpus=1, spec_besides={**rules, **kept})
    bound = of_target(
        lambda: scratch.get("engine").node,
        within_seconds=BOUND_SECONDS,
        what=f"an engine bound on {full_node.node.name}, which is full of batch pods",
        excused_seconds=cluster.silent_seconds,
    )
    left = left_of(cluster, scratch, full_node.batch)
    batch = {name: priority(scratch.document(name)) for name in left[:1]}
    evidence.record("priorities", {"engine": priority(found.engine), **batch})
    evidence.record("batch", {"before": full_node.batch, "after": left})
    evidence.record("engine", asdict(Decision.parse(scratch.document("engine")) or NOTHING))

    assert bound, f"{bound}; the engine's priority is {priority(found.engine)}"
    assert len(left) == len(full_node.batch) - 1, f"{full_node.batch} before, {left} after"
    gone = before - uids_on(cluster, full_node.node, but=scratch.namespace)
    assert not gone, f"pods of others on {full_node.node.name} went as well: {gone}"


def test_batch_pod_takes_nobody_s_place(
    cluster: Cluster, stack: Stack, scratch: Scratch, full_node: FullNode, evidence: Evidence
) -> None:
    before = uids_on(cluster, full_node.node, but=scratch.namespace)
    engines = {pod.uid for pod in stack.engines()}
    scratch.pod("one-more", argv=IDLE, gpus=1, node=full_node.node.name)
    decision = scratch.decisions()["one-more"]
    left = left_of(cluster, scratch, full_node.batch)
    # Named before its victims are gone.
    nominated = scratch.document("one-more").get("status", {}).get("nominatedNodeName")
    evidence.record("decision", {**asdict(decision), "nominated": nominated})
    evidence.record("batch", {"before": full_node.batch, "after": left})

    assert not decision.node, f"{full_node.node.name} was full and took one more: {decision}"
    assert not nominated, f"pods on {nominated} have to go for a batch pod"
    assert len(left) == len(full_node.batch), f"{full_node.batch} before, {left} after"
    gone = before - uids_on(cluster, full_node.node, but=scratch.namespace)
    gone |= engines - {pod.uid for pod in stack.engines()}
    assert not gone, f"a batch pod took the place of {gone}"
