"""A GPU pod runs only where a GPU is free.

Two engines on one GPU that nobody meant to share run out of memory or at half their speed, and one
that is bound where there is none restarts for ever. Whoever is not served must wait, be told for
what, and get the first GPU that is given back.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import pytest

from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Decision, Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Node
from hotfire.errors import ClusterError, HarnessError
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "SCH-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/",
    scope=Scope.CORE,
)

LIST = "nvidia-smi -L"
LIST_AND_STAY = ["sh", "-c", f"{LIST}; exec sleep 600"]
UUID = re.compile(r"UUID: ([^)\s]+)")
# Feature discovery's word on time slicing and MPS: so many pods were meant for each GPU.
SHARES_LABEL = "nvidia.com/gpu.replicas"


@dataclass(frozen=True, slots=True)
class Crowd:
    """On each node one GPU pod more than GPUs are offered there, and one pod that wants none."""

    nodes: tuple[Node, ...]
    decisions: Mapping[str, Decision]
    prefixes: Mapping[str, str]
    """By node, how the names of its GPU pods begin."""

    def bound(self, node: str) -> list[str]:
        return [name for name in self._on(node) if self.decisions[name].node]

    def waiting(self, node: str) -> list[str]:
        return [name for name in self._on(node) if not self.decisions[name].node]

    def _on(self, node: str) -> list[str]:
        return [name for name in self.decisions if name.startswith(self.prefixes[node])]


@pytest.fixture
def crowd(
    profile: TargetProfile, cluster: Cluster, stack: Stack, scratch: Scratch, evidence: Evidence
) -> Iterator[Crowd]:
    """Fill every GPU, and free them all again before the next check."""
    try:
        yield filled(profile, cluster, scratch, evidence)
    finally:
        scratch.clear()


def filled(profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence) -> Crowd:
    """Fill every GPU; what has a PriorityClass takes them back at once, these pods have none."""
    resource = profile.accelerator.resource
    found = probed_nodes(cluster, profile, evidence)
    takes_pods = [node for node in found if node.ready and not node.unschedulable]
    nodes = tuple(node for node in takes_pods if offered(node, resource))
    if not nodes:
        raise HarnessError(
            f"no node with {profile.accelerator.node_selector} offers {resource}; set `accelerator`"
        )
    prefixes = {node.name: f"gpu-{number}-" for number, node in enumerate(nodes)}
    for node in nodes:
        for number in range(offered(node, resource) + 1):
            name = f"{prefixes[node.name]}{number}"
            scratch.pod(name, argv=LIST_AND_STAY, gpus=1, node=node.name)
    decisions = scratch.decisions()
    # Negative control: the same pod without a GPU runs there, so it is the GPU that others lack.
    for node in nodes:
        scratch.pod(f"none-on-{node.name}", argv=LIST_AND_STAY, node=node.name)
    for node in nodes:
        scratch.wait_phase(f"none-on-{node.name}", "Running")
    return Crowd(nodes, decisions, prefixes)


def test_next_pod_waits_for_the_resource_and_gets_the_first_that_is_freed(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, crowd: Crowd, evidence: Evidence
) -> None:
    resource, names = profile.accelerator.resource, [node.name for node in crowd.nodes]
    evidence.record("decisions", {name: asdict(each) for name, each in crowd.decisions.items()})
    full = {name: crowd.bound(name) for name in names if crowd.bound(name)}
    if not full:
        raise HarnessError(f"every {resource} is taken, and not ours to free; free one and repeat")

    for name in names:
        assert crowd.waiting(name), f"{name} took more pods than it offers {resource}"
        for pod in crowd.waiting(name):
            said = crowd.decisions[pod].refusal
            assert f"Insufficient {resource}" in said, f"{pod} waits, but not for a GPU: {said}"

    past = {name: f"past-the-scheduler-on-{name}" for name in full}
    for name, pod in past.items():
        scratch.pod(pod, argv=LIST_AND_STAY, gpus=1, spec_besides={"nodeName": name})
    phases = {name: scratch.wait_phase(pod, "Failed", "Running") for name, pod in past.items()}
    evidence.record("past_the_scheduler", {name: pod.phase for name, pod in phases.items()})
    for name, found in phases.items():
        assert found.phase == "Failed", f"{name} runs a GPU pod that was bound past the scheduler"

    for pods in full.values():
        cluster.delete("Pod", scratch.namespace, pods[0], grace_seconds=1)
    still = eventually_served(profile, scratch, {name: crowd.waiting(name) for name in full})
    evidence.record("not_served_after_a_gpu_was_freed", still)
    assert not still, f"a GPU was freed on {still}, and no waiting pod got it"


def eventually_served(
    profile: TargetProfile, scratch: Scratch, waiting: Mapping[str, list[str]]
) -> list[str]:
    """Return the nodes on which none of the waiting pods was bound in time."""
    unserved = list(waiting)

    def all_served() -> bool:
        unserved[:] = [
            node for node in unserved if not any(scratch.get(pod).node for pod in waiting[node])
        ]
        return not unserved

    eventually(all_served, within_seconds=profile.waits.unschedulable_seconds)
    return unserved


def test_no_two_pods_have_the_same_gpu(
    profile: TargetProfile,
    cluster: Cluster,
    stack: Stack,
    scratch: Scratch,
    crowd: Crowd,
    evidence: Evidence,
) -> None:
    shares = {node.name: declared_shares(node) for node in crowd.nodes}
    bound = {pod: node.name for node in crowd.nodes for pod in crowd.bound(node.name)}
    evidence.record("declared_shares_of_a_gpu", shares)
    if not bound:
        raise HarnessError(f"every {profile.accelerator.resource} is taken; free one and repeat")

    lost = eventually_running(profile, scratch, list(bound))
    evidence.record("bound_and_never_running", lost)
    assert not lost, f"bound for a GPU, and cannot run where others do: {lost}"

    found = {pod: devices(until_listed(scratch, pod)) for pod in bound}
    evidence.record("devices_in_pods", found)
    for pod, uuids in found.items():
        assert len(uuids) == 1, f"{pod} asked for one GPU on {bound[pod]} and sees {uuids}"
    holders = defaultdict(list)
    for pod, uuids in (found | devices_of_engines(profile, cluster, stack, evidence)).items():
        for uuid in uuids:
            holders[uuid].append(pod)
    for pod, [uuid] in found.items():
        assert len(holders[uuid]) <= shares[bound[pod]], f"{uuid} is held by {holders[uuid]}"


def offered(node: Node, resource: str) -> int:
    return int(node.allocatable.get(resource, "0"))


def declared_shares(node: Node) -> int:
    return max(1, int(node.labels.get(SHARES_LABEL, "1")))


def eventually_running(profile: TargetProfile, scratch: Scratch, pods: list[str]) -> list[str]:
    """Return what the pods that do not run say of themselves; the same without a GPU did run."""
    left = list(pods)

    def all_run() -> bool:
        left[:] = [name for name in left if scratch.get(name).phase != "Running"]
        return not left

    eventually(all_run, within_seconds=profile.waits.unschedulable_seconds)
    reasons = []
    for name in left:
        status = scratch.document(name).get("status", {})
        states = [each.get("state") for each in status.get("containerStatuses") or ()]
        reasons.append(f"{name}: {status.get('phase')} {status.get('reason', '')} {states}")
    return reasons


def until_listed(scratch: Scratch, pod: str) -> str:
    return until(lambda: scratch.log(pod), within_seconds=10, what=f"what `{LIST}` says in {pod}")


def devices(listed: str) -> list[str]:
    """Return what a pod may use: its MIG instances, or else its GPUs.

    Raises:
        HarnessError: pods of this target have no nvidia-smi.
    """
    if "not found" in listed:
        raise HarnessError(f"pods cannot list their devices: {listed.strip()}")
    uuids = UUID.findall(listed)
    return [uuid for uuid in uuids if uuid.startswith("MIG-")] or uuids


def devices_of_engines(
    profile: TargetProfile, cluster: Cluster, stack: Stack, evidence: Evidence
) -> dict[str, list[str]]:
    """Return what the engines hold, as far as their images can tell."""
    found, untold = {}, []
    for pod in stack.engines():
        argv = ["sh", "-c", LIST]
        try:
            container = profile.engine.container
            done = cluster.exec(pod.namespace, pod.name, container=container, argv=argv)
        except ClusterError as error:
            untold.append(f"{pod.name}: {error}")
            continue
        if UUID.search(done.stdout):
            found[pod.name] = devices(done.stdout)
        else:
            untold.append(f"{pod.name}: {done.stdout} {done.stderr}".strip())
    evidence.record("devices_of_engines", found)
    evidence.record("engines_that_cannot_tell", untold)
    return found
