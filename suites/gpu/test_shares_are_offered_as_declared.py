"""MIG or time-slicing shares appear in allocatable as declared, and pods on one device run healthy.

A share is a promise of a part. Where more are offered than were declared, eight notebooks sit on a
device that was cut for two; where the profile was not applied, one of them has the whole of it, and
the others find no memory.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GPU-005",
    Level.SHOULD,
    __doc__,
    source="https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus",
    features={"gpu-sharing"},
    cncf="accelerators.gpu_sharing",
)

# Between a device and the number of its share, as NVIDIA's plugin writes it.
SHARE = "::"
SHARED_RESOURCE = ".shared"
MIG = re.compile(r"/mig-\d+g\.\d+gb$")
# Whatever the share is of, its pod finds exactly one device that works.
HEALTH = ["sh", "-c", "nvidia-smi -L | grep -c UUID"]
IDLE = ["sleep", "600"]
BEYOND = "one-more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of one resource on one node."""

    node: str
    resource: str
    declared: int
    offered: int
    per_device: int
    """How many pods one device is shared by; of a MIG instance it is one."""


def shares_of(node: Node, resource: str) -> list[Shares]:
    """Return what a node offers of shares, as its labels declare it and as pods may ask for it."""
    found = []
    replicas = number(node.labels, f"{resource}.replicas")
    if replicas > 1:
        renamed = resource + SHARED_RESOURCE
        name = renamed if renamed in node.allocatable else resource
        declared = replicas * number(node.labels, f"{resource}.count")
        found.append(shares(node, name, declared, replicas))
    for name in filter(MIG.search, node.allocatable):
        found.append(shares(node, name, number(node.labels, f"{name}.count"), 1))
    return found


def shares(node: Node, name: str, declared: int, per_device: int) -> Shares:
    return Shares(
        node=node.name,
        resource=name,
        declared=declared,
        offered=number(node.allocatable, name),
        per_device=per_device,
    )


def number(words: Mapping[str, str], name: str) -> int:
    """Return a whole number; 0 where there is none."""
    return int(words[name]) if words.get(name, "").isdecimal() else 0


def granted(agent: AgentClient, one: Shares) -> dict[tuple[str, str], list[str]]:
    """Return which shares the kubelet gave to which pod."""
    found: dict[tuple[str, str], list[str]] = {}
    for grant in agent.device_grants(one.node):
        if grant.resource == one.resource and grant.device_ids:
            found.setdefault((grant.namespace, grant.pod), []).extend(grant.device_ids)
    return found


def fill(scratch: Scratch, one: Shares) -> list[str]:
    """Start as many pods as there are shares, and one more; return those that must run."""
    names = [f"share-{number}" for number in range(one.offered)]
    for name in (*names, BEYOND):
        limits = {one.resource: "1"}
        scratch.pod(name, argv=IDLE, node=one.node, limits_besides=limits)
        # The one too many comes last, or it would take the share of another.
        if name != BEYOND:
            scratch.wait_phase(name, "Running")
    return names


def unhealthy(cluster: Cluster, scratch: Scratch, names: Sequence[str]) -> list[str]:
    """Return the pods that find none or several devices."""
    said = {
        name: cluster.exec(
            scratch.namespace, name, container="probe", argv=HEALTH, repeatable=True
        ).stdout.strip()
        for name in names
    }
    return [f"{name} finds {devices or 'no'} devices" for name, devices in said.items()
            if devices != "1"]  # fmt: skip


def test_each_share_that_was_declared_carries_a_pod(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    nodes = cluster.nodes(profile.accelerator.node_selector)
    found = [one for node in nodes for one in shares_of(node, profile.accelerator.resource)]
    evidence.record("shares", [asdict(one) for one in found])
    assert found, "the target claims gpu-sharing, and no node offers a share"

    for one in found:
        assert one.offered == one.declared, (
            f"{one.node} offers {one.offered} {one.resource}, its labels declare {one.declared}"
        )
    free = next((one for one in found if not granted(agent, one)), None)
    if free is None:
        raise HarnessError("every node with shares is in use; make room on one of them")
    carry(cluster, agent, scratch, free, evidence)


def carry(
    cluster: Cluster, agent: AgentClient, scratch: Scratch, one: Shares, evidence: Evidence
) -> None:
    """Put a pod on each share of a node; one more must wait."""
    names = fill(scratch, one)
    devices = [share for shares in granted(agent, one).values() for share in shares]
    on_each = Counter(share.partition(SHARE)[0] for share in devices)
    trouble = unhealthy(cluster, scratch, names)
    refusal = scratch.decisions()[BEYOND].refusal
    evidence.record("pods_by_device", dict(on_each))
    evidence.record("unhealthy", trouble)
    evidence.record("one_more", refusal)

    assert not trouble, f"{len(trouble)} of {len(names)} pods on shares: {trouble[0]}"
    assert set(on_each.values()) == {one.per_device}, (
        f"a device of {one.node} is declared to carry {one.per_device} pods: {dict(on_each)}"
    )
    # Negative control: with all shares taken, the next pod waits for one.
    assert one.resource in refusal, f"one pod more than shares was not refused for {one.resource}"
