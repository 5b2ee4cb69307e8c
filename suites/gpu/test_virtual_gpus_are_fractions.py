"""Pods requesting a virtual GPU run healthy with the semantics of a fraction.

A virtual GPU is paid for as a part. Where its pod finds the whole device it takes memory from those
who hold the other parts, and one of them, not it, ends for lack of it. Where a part that was given
back stays taken, the device fills up with nobody on it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pytest

from fixtures.gpu_load import NAME as LOAD
from fixtures.gpu_load import GpuLoad
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, pause

pytestmark = requirement(
    "GPU-006",
    Level.SHOULD,
    __doc__,
    source="https://github.com/cncf/k8s-ai-conformance/blob/main/docs/AIConformance-1.37.yaml",
    features={"virtual-gpus"},
    cncf="accelerators.virtualized_accelerator",
)

BEYOND = "beyond"
MEMORY = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
# A driver keeps some of it for itself.
MEMORY_RATIO = 0.1
WORKS_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Virtual GPUs of one kind on one node."""

    node: str
    resource: str
    offered: int
    taken: int
    mebibytes: int
    """Of memory, that each of them has, as declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualGpus:
    """Who offers them, and who holds them."""

    cluster: Cluster
    agent: AgentClient
    declared: Mapping[str, int]
    gone_seconds: float

    def offers(self) -> list[Offer]:
        return [
            Offer(
                node=node.name,
                resource=resource,
                offered=int(node.allocatable[resource]),
                taken=self.taken(node.name, resource),
                mebibytes=mebibytes,
            )
            for node in self.cluster.nodes()
            for resource, mebibytes in self.declared.items()
            if node.allocatable.get(resource, "0") != "0"
        ]

    def taken(self, node: str, resource: str) -> int:
        """Return how many of a node the kubelet has given out."""
        counts = Counter[str]()
        for grant in self.agent.device_grants(node):
            counts[grant.resource] += len(grant.device_ids)
        return counts[resource]


@pytest.fixture
def virtual_gpus(cluster: Cluster, agent: AgentClient, profile: TargetProfile) -> VirtualGpus:
    declared = profile.accelerator.virtual_mebibytes
    if not declared:
        raise HarnessError("virtual-gpus is claimed; set accelerator.virtual_mebibytes")
    gone_seconds = profile.waits.pod_gone_seconds
    return VirtualGpus(cluster=cluster, agent=agent, declared=declared, gone_seconds=gone_seconds)


def sizes(said: str) -> list[float]:
    """Return the memory of each device that a pod finds, in MiB; of one that hides it, none."""
    return [float(line) if line.strip().isdigit() else 0.0 for line in said.splitlines()]


def is_fraction(found: list[float], mebibytes: int) -> bool:
    """Return whether a pod finds one device, which has about so much memory."""
    return len(found) == 1 and abs(found[0] - mebibytes) <= MEMORY_RATIO * mebibytes


def test_a_pod_finds_its_part_and_gives_it_back(
    virtual_gpus: VirtualGpus, gpu_load: GpuLoad, scratch: Scratch, evidence: Evidence
) -> None:
    offers = virtual_gpus.offers()
    evidence.record("offers", [asdict(one) for one in offers])
    assert offers, f"no node offers {' or '.join(virtual_gpus.declared)}"
    free = [one for one in offers if one.taken < one.offered]
    if not free:
        raise HarnessError("every virtual GPU is in use; free one")

    one = free[0]
    gpu_load.start_on(one.node, {one.resource: "1"})
    scratch.pod(
        BEYOND,
        argv=["sleep", "600"],
        node=one.node,
        limits_besides={one.resource: str(one.offered + 1)},
    )
    found = sizes(scratch.exec(LOAD, MEMORY))
    gpu_load.work()
    pause(WORKS_SECONDS, why="a device that is no good fails as soon as something runs on it")
    phase, refusal = scratch.get(LOAD).phase, scratch.decisions()[BEYOND].refusal
    scratch.clear()
    back = of_target(
        lambda: virtual_gpus.taken(one.node, one.resource) <= one.taken,
        within_seconds=virtual_gpus.gone_seconds,
        what=f"{one.resource} of {one.node} given back",
    )
    evidence.record("memory_mebibytes", found)
    evidence.record("phase_at_work", phase)
    evidence.record("one_more_than_offered", refusal)

    assert is_fraction(found, one.mebibytes), (
        f"a pod with one {one.resource} finds devices of {found} MiB, {one.mebibytes} are declared"
    )
    assert phase == "Running", f"at work on its {one.resource} the pod is {phase}"
    assert back, f"{back}: its pod is gone"
    # Negative control: more than there is of it is not given.
    assert one.resource in refusal, f"{one.offered + 1} of {one.offered} were not refused"
