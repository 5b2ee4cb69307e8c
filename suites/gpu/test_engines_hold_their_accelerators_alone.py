"""Latency-critical engines never run on time-sliced or MPS shares.

A neighbour on the same GPU takes its turns when it likes: the tokens of a user wait for somebody
else's training step. Shares are for development. A MIG instance is no such share: its processors
and its memory are its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from fixtures.accelerators import Accelerators, PodName
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GPU-007",
    Level.MUST,
    __doc__,
    source="https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus",
)

# What stands in the id of a share: NVIDIA's device plugin, and GKE's.
MARKS = ("::", "/vgpu")
SHARED_RESOURCE = ".shared"
# Who says how a node's GPUs are given out: feature discovery by resource, and GKE.
STRATEGY = ".sharing-strategy"
GKE_STRATEGY = "cloud.google.com/gke-gpu-sharing-strategy"
ALONE = ("", "none")
BY_CLAIM = "a claim"
NEIGHBOUR = ("development", "notebook")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One device as an engine holds it."""

    engine: str
    resource: str
    device: str
    strategy: str
    """What the node's labels say of sharing; empty where they say nothing."""
    also_held_by: tuple[PodName, ...] = ()

    def share(self) -> str:
        """Return by what it is known to be a share; empty if it is the engine's alone."""
        if any(mark in self.device for mark in MARKS):
            return f"{self.device} is one of several replicas of its GPU"
        if self.resource.endswith(SHARED_RESOURCE):
            return f"{self.resource} is the name of shares"
        if self.strategy not in ALONE:
            return f"its node gives {self.resource} out by {self.strategy}"
        if self.also_held_by:
            return f"{self.device} is also held by {'/'.join(self.also_held_by[0])}"
        return ""


def strategy_of(labels: Mapping[str, str], resource: str) -> str:
    return labels.get(resource + STRATEGY, "") or labels.get(GKE_STRATEGY, "")


def held_on(
    node: Node,
    engines: set[PodName],
    profile: TargetProfile,
    agent: AgentClient,
    accelerators: Accelerators,
) -> Iterator[Held]:
    """Yield what engines hold on a node, by number or by claim."""
    vendor = profile.accelerator.resource.partition("/")[0]
    holders = accelerators.holders(node)
    granted = [
        ((grant.namespace, grant.pod), grant.resource, device)
        for grant in agent.device_grants(node.name)
        if grant.resource.partition("/")[0] == vendor
        for device in grant.device_ids
    ]
    by_number = {pod for pod, _, _ in granted}
    claimed = [
        (pod, BY_CLAIM, device)
        for pod, devices in holders.items()
        if pod not in by_number
        for device in devices
    ]
    for pod, resource, device in (*granted, *claimed):
        if pod in engines:
            gpu = device.partition(MARKS[0])[0]
            yield Held(
                engine=pod[1],
                resource=resource,
                device=device,
                strategy=strategy_of(node.labels, resource),
                also_held_by=tuple(
                    other for other in holders if other != pod and gpu in holders[other]
                ),
            )


def check_control(held: Held) -> None:
    """Negative control: the same device as a development pod may have it must be recognised."""
    alone = replace(held, also_held_by=(), strategy="")
    shares = (
        replace(alone, device=held.device + MARKS[0] + "0"),
        replace(alone, resource=held.resource + SHARED_RESOURCE),
        replace(alone, strategy="mps"),
        replace(alone, also_held_by=(NEIGHBOUR,)),
    )
    unnoticed = [one for one in shares if not one.share()]
    if unnoticed:
        raise HarnessError(f"this share would go unnoticed: {unnoticed[0]}")


def test_each_engine_holds_its_devices_alone(
    profile: TargetProfile,
    cluster: Cluster,
    agent: AgentClient,
    accelerators: Accelerators,
    stack: Stack,
    evidence: Evidence,
) -> None:
    engines = {(pod.namespace, pod.name): pod.node for pod in stack.engines() if pod.node}
    nodes = [node for node in cluster.nodes() if node.name in engines.values()]
    found = [
        held for node in nodes for held in held_on(node, set(engines), profile, agent, accelerators)
    ]
    evidence.record("held", [asdict(one) for one in found])

    for one in found:
        assert not one.share(), f"{one.engine} runs on a share: {one.share()}"
    for one in found:
        check_control(one)
    unknown = {pod[1] for pod in engines} - {one.engine for one in found}
    if unknown or not engines:
        raise HarnessError(
            f"nothing tells what {', '.join(sorted(unknown)) or 'engines'} hold of "
            f"{profile.accelerator.resource}; set `accelerator` and `engine.selector`"
        )
