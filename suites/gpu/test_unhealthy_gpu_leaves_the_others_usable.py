"""An unhealthy GPU leaves allocatable while the node's other GPUs stay usable.

A device that fell off the bus kills whatever is put on it, one engine after the other, unless its
plugin takes it out. A plugin that takes the whole node out instead costs seven sound GPUs for one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fixtures.accelerators import Accelerators
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient, entry_id
from hotfire.cluster import Cluster, Node
from hotfire.errors import FaultNotInjected, HarnessError, RollbackFailed
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "GPU-008",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources",
    # A real GPU is not made to fail: nothing is known of it until it does.
    features={"playable-gpu-failures"},
)

IDLE = ["sleep", "600"]
# "GPU has fallen off the bus".
XID = 79
OUT_SECONDS = 10.0
UNHEALTHY = "Unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A device that a pod of ours holds, and how many its node offers while it is sound."""

    pod: str
    node: Node
    device: str
    offered: int


def offered(cluster: Cluster, resource: str) -> dict[str, int]:
    return {node.name: int(node.allocatable.get(resource, "0")) for node in cluster.nodes()}


def device_of(agent: AgentClient, node: Node, scratch: Scratch, pod: str) -> str:
    """Return the only device that a node's kubelet gave to a pod of ours."""
    for grant in agent.device_grants(node.name):
        if (grant.namespace, grant.pod) == (scratch.namespace, pod) and grant.device_ids:
            return grant.device_ids[0]
    raise HarnessError(f"the kubelet of {node.name} tells of no device that it gave to {pod}")


def held_device(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    accelerators: Accelerators,
    scratch: Scratch,
) -> Held:
    """Take a device, so that nobody else can be on it when it fails.

    Raises:
        HarnessError: no node has two that nobody holds.
    """
    resource = profile.accelerator.resource
    for node in cluster.nodes(profile.accelerator.node_selector):
        count = int(node.allocatable.get(resource, "0"))
        if node.ready and not node.unschedulable and count and accelerators.free(node) > 1:
            scratch.pod("holder", argv=IDLE, gpus=1, node=node.name)
            scratch.wait_phase("holder", "Running")
            device = device_of(agent, node, scratch, "holder")
            return Held(pod="holder", node=node, device=device, offered=count)
    raise HarnessError(f"no node has two free {resource}: one to fail, and one to be used then")


@contextmanager
def failed(agent: AgentClient, held: Held) -> Iterator[None]:
    """Make a device unhealthy for the length of the block.

    Raises:
        HarnessError: it cannot be played with these GPUs, though the target file claims so.
        RollbackFailed: it is still marked.
    """
    id_ = entry_id("gpu")
    try:
        agent.fire(held.node.name, "gpu.health", id_, uuid=held.device, xid=XID)
    except FaultNotInjected as error:
        raise HarnessError(
            "the target file claims playable-gpu-failures, which the lab's GPUs have and real ones"
            f" have not; leave it out there: {error}"
        ) from error
    try:
        yield
    finally:
        if problems := agent.heal(held.node.name, id_):
            raise RollbackFailed("; ".join(problems))


def flags(scratch: Scratch, held: Held) -> list[str]:
    """Return how the pod on the failed device is told of; empty while nothing tells."""
    document = scratch.document(held.pod)
    if not document or document["metadata"].get("deletionTimestamp"):
        return ["it is being replaced"]
    return [
        f"{resource['resourceID']} {resource['health']}"
        for container in document["status"].get("containerStatuses") or ()
        for row in container.get("allocatedResourcesStatus") or ()
        for resource in row.get("resources") or ()
        if (resource["resourceID"], resource.get("health")) == (held.device, UNHEALTHY)
    ]


def test_failed_gpu_is_one_less_and_the_next_pod_gets_another(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    accelerators: Accelerators,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    resource = profile.accelerator.resource
    before = offered(cluster, resource)
    # Negative control: before its failure the device is given out, to this pod.
    held = held_device(profile, cluster, agent, accelerators, scratch)
    place = held.node.name
    with failed(agent, held):
        fell = of_target(
            lambda: offered(cluster, resource)[place] == held.offered - 1,
            within_seconds=OUT_SECONDS,
            what=f"one {resource} less than {held.offered} on {place}",
            excused_seconds=cluster.silent_seconds,
        )
        during = offered(cluster, resource)
        evidence.record("offered", {"before": before, "during": during})
        assert fell, f"{fell.what} within {OUT_SECONDS:g} s, there are {during[place]}"
        elsewhere = {name for name in before if name != place and during.get(name) != before[name]}
        assert not elsewhere, f"a GPU of {place} failed, and {elsewhere} changed as well"

        flagged = of_target(
            lambda: flags(scratch, held),
            within_seconds=OUT_SECONDS,
            what=f"a word on the pod that holds {held.device}",
            excused_seconds=cluster.silent_seconds,
        )
        evidence.record("flags", flagged.seen)
        assert flagged, f"its GPU failed, and neither is {held.pod} replaced nor does it tell"

        scratch.clear()
        scratch.pod("next", argv=IDLE, gpus=1, node=place)
        scratch.wait_phase("next", "Running")
        device = device_of(agent, held.node, scratch, "next")
        evidence.record("devices", {"failed": held.device, "next": device})
        assert device != held.device, f"the next pod got {device} as well, which failed"
    until(
        lambda: offered(cluster, resource)[place] == held.offered,
        within_seconds=profile.waits.healing_seconds,
        what=f"{held.offered} {resource} on {place} again",
        excused_seconds=cluster.silent_seconds,
    )
