"""Host, kubelet and pod agree on the GPUs of a node.

A device the scheduler believes in but the driver does not have kills whatever lands on it; one that
the driver has and the scheduler does not know is paid for and idle. So the driver's list, the
node's allocatable count, the kubelet's grants and what pods find inside themselves must be one set.
"""

import pytest

from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster

pytestmark = requirement(
    "GPU-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/",
    scope=Scope.CORE,
)

LIST_GPUS = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
# A pod without a GPU may lack the program altogether: that counts as seeing none.
SEE_NONE = [
    "sh",
    "-c",
    "nvidia-smi -L 2>/dev/null | grep -c UUID; ls /dev | grep -c '^nvidia[0-9]'; true",
]


def granted_to_others(agent: AgentClient, node: str, resource: str) -> set[str]:
    grants = [grant for grant in agent.device_grants(node) if grant.resource == resource]
    return {device for grant in grants for device in grant.device_ids}


def test_driver_and_kubelet_count_the_same(
    profile: TargetProfile, cluster: Cluster, agent: AgentClient, evidence: Evidence
) -> None:
    nodes = probed_nodes(cluster, profile, evidence)
    driver = {node.name: sorted(gpu.uuid for gpu in agent.gpus(node.name)) for node in nodes}
    allocatable = {
        node.name: int(node.allocatable.get(profile.accelerator.resource, "0")) for node in nodes
    }
    evidence.record("driver", driver)
    evidence.record("allocatable", allocatable)

    assert any(allocatable.values()), f"no GPU on nodes {profile.accelerator.node_selector}"
    for name, uuids in driver.items():
        assert len(uuids) == allocatable[name], (
            f"{name}: driver {uuids}, kubelet {allocatable[name]}"
        )


def test_grants_and_pods_find_the_driver_s_devices(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    scratch: Scratch,
    stack: object,
    evidence: Evidence,
) -> None:
    resource = profile.accelerator.resource
    found: dict[str, tuple[list[str], list[str]]] = {}
    for node in probed_nodes(cluster, profile, evidence):
        held = granted_to_others(agent, node.name, resource)
        free = int(node.allocatable.get(resource, "0")) - len(held)
        inside: set[str] = set()
        if free > 0:
            name = f"all-free-gpus-of-{node.name}"
            scratch.pod(name, argv=LIST_GPUS, gpus=free, node=node.name)
            inside = set(scratch.output(name).split())
        assert len(inside) == max(free, 0), f"{node.name}: asked for {free}, found {inside}"
        driver = sorted(gpu.uuid for gpu in agent.gpus(node.name))
        found[node.name] = (driver, sorted(held | inside))
    evidence.record("driver_and_found_in_pods", found)

    assert found
    for name, (driver, together) in found.items():
        assert together == driver, f"{name}: driver {driver}, kubelet and pods {together}"


def test_pod_without_a_request_sees_no_gpu(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    seen = {}
    for node in probed_nodes(cluster, profile, evidence):
        scratch.pod(f"none-on-{node.name}", argv=SEE_NONE, node=node.name)
        seen[node.name] = scratch.output(f"none-on-{node.name}").split()
    evidence.record("gpus_and_device_nodes_seen", seen)

    if not seen:
        pytest.fail(f"no node matches {profile.accelerator.node_selector}")
    assert all(counts == ["0", "0"] for counts in seen.values()), seen
