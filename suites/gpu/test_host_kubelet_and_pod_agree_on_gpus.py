"""Host, kubelet and pod agree on the GPUs of a node.

A device the scheduler believes in but the driver does not have kills whatever lands on it; one that the driver has and
the scheduler does not know is paid for and idle. So the driver's list, the node's allocatable count, the kubelet's
grants and what pods find inside themselves must be one set.
"""

import pytest

from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster

pytestmark = requirement(
    "GPU-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/",
)

LIST_GPUS = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
# A pod without a GPU may lack the program altogether: that counts as seeing none.
SEE_NONE = ["sh", "-c", "nvidia-smi -L 2>/dev/null | grep -c UUID; ls /dev | grep -c '^nvidia[0-9]'; true"]


def granted_to_others(agent: AgentClient, node: str, resource: str) -> set[str]:
    grants = [grant for grant in agent.device_grants(node) if grant.resource == resource]
    return {device for grant in grants for device in grant.device_ids}


def test_driver_allocatable_grants_and_pods_are_one_set(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    scratch: Scratch,
    stack: object,
    evidence: Evidence,
) -> None:
    resource = profile.accelerator.resource
    nodes = cluster.nodes(profile.accelerator.node_selector)
    seen: dict[str, dict[str, object]] = {}
    for node in nodes:
        driver = {gpu.uuid for gpu in agent.gpus(node.name)}
        allocatable = int(node.allocatable.get(resource, "0"))
        held = granted_to_others(agent, node.name, resource)
        free = allocatable - len(held)
        inside: set[str] = set()
        if free > 0:
            name = f"all-free-gpus-of-{node.name}"
            scratch.pod(name, argv=LIST_GPUS, gpus=free, node=node.name)
            inside = set(scratch.output(name).split())
        seen[node.name] = {
            "driver": sorted(driver),
            "allocatable": allocatable,
            "held_by_engines": sorted(held),
            "found_in_probe_pod": sorted(inside),
        }
    evidence.record("gpus", seen)

    assert nodes, f"no node matches {profile.accelerator.node_selector}"
    for name, found in seen.items():
        driver_ids = found["driver"]
        together = sorted({*found["held_by_engines"], *found["found_in_probe_pod"]})  # type: ignore[misc]
        assert found["allocatable"] == len(driver_ids), f"{name}: {found}"  # type: ignore[arg-type]
        assert together == driver_ids, f"{name}: {found}"


def test_pod_without_a_request_sees_no_gpu(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    seen = {}
    for node in cluster.nodes(profile.accelerator.node_selector):
        scratch.pod(f"none-on-{node.name}", argv=SEE_NONE, node=node.name)
        seen[node.name] = scratch.output(f"none-on-{node.name}").split()
    evidence.record("gpus_and_device_nodes_seen", seen)

    if not seen:
        pytest.fail(f"no node matches {profile.accelerator.node_selector}")
    assert all(counts == ["0", "0"] for counts in seen.values()), seen
