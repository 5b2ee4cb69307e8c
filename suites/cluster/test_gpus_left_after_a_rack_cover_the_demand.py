"""The GPUs left after losing the largest failure domain cover the declared serving demand.

Replicas that have nowhere to go stay Pending for as long as a rack is gone, and those that remain
carry the load of all. A spare GPU counts only if nobody holds it at that moment.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from fixtures.accelerators import Accelerators, asked_for
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "CLU-003",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/setup/best-practices/multiple-zones/#node-behavior",
)

IDLE = ["sleep", "600"]
TOO_MANY = "too-many"


def demand_by_node(stack: Stack, resource: str) -> dict[str, list[int]]:
    """Return how many accelerators each engine on a node needs."""
    found: dict[str, list[int]] = {}
    for document in stack.engine_documents():
        if node := document["spec"].get("nodeName"):
            found.setdefault(node, []).append(asked_for(document, resource))
    if not any(sum(each) for each in found.values()):
        raise HarnessError(
            f"no engine of {stack.namespace} asks for {resource} by number: what they need is not"
            " known; set accelerator.resource"
        )
    return found


def domains(profile: TargetProfile, nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """Return the nodes by rack; one without the label is a domain by itself."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        rack = node.labels.get(profile.fabric.rack_label) or node.name
        found.setdefault(rack, []).append(node)
    return found


def largest(
    racks: Mapping[str, Sequence[Node]], demand: Mapping[str, Sequence[int]], resource: str
) -> str:
    """Return the rack in which engines hold most accelerators; of equal ones the biggest."""

    def size(rack: str) -> tuple[int, int, str]:
        offered = sum(int(node.allocatable.get(resource, "0")) for node in racks[rack])
        return sum(sum(demand.get(node.name, ())) for node in racks[rack]), offered, rack

    return max(racks, key=size)


def elsewhere(lost: Sequence[Node]) -> Document:
    """Return the rule that keeps a pod off these nodes, as if they were not there."""
    names = [node.labels["kubernetes.io/hostname"] for node in lost]
    rule = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": names}
    required = {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    }


def test_gpus_left_cover_the_demand(
    profile: TargetProfile,
    cluster: Cluster,
    stack: Stack,
    accelerators: Accelerators,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    resource = profile.accelerator.resource
    nodes = [n for n in cluster.nodes(profile.accelerator.node_selector) if n.ready]
    racks, demand = domains(profile, nodes), demand_by_node(stack, resource)
    rack = largest(racks, demand, resource)
    lost = racks[rack]
    displaced = [need for node in lost for need in demand.get(node.name, ())]
    free = {node.name: accelerators.free(node) for node in nodes if node not in lost}
    evidence.record("largest_rack", {rack: [node.name for node in lost]})
    evidence.record("accelerators_of_its_engines", displaced)
    evidence.record("free_elsewhere", free)

    for number, need in enumerate(displaced):
        scratch.pod(f"stand-in-{number}", argv=IDLE, gpus=need, spec_besides=elsewhere(lost))
    # Negative control: more than is free on any node.
    beyond = max(free.values(), default=0) + 1
    scratch.pod(TOO_MANY, argv=IDLE, gpus=beyond, spec_besides=elsewhere(lost))
    decisions = scratch.decisions()
    evidence.record("decisions", {name: asdict(each) for name, each in decisions.items()})

    refused = Counter(
        each.refusal for name, each in decisions.items() if name != TOO_MANY and not each.node
    )
    assert not refused, (
        f"without {rack}, {sum(refused.values())} of its {len(displaced)} engines find no room: "
        f"{'; '.join(refused)}"
    )
    if decisions[TOO_MANY].node:
        raise HarnessError(f"a pod that asks for {beyond} was bound, though free are {free}")
