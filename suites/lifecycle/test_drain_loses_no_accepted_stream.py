"""A drain loses no accepted stream.

Every upgrade of a node ends the engines on it. A stream that was accepted has to end there, since
no other engine can go on with it; a user whose answer breaks off half-way pays for the maintenance
that was announced weeks ago.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fixtures.long_streams import begun, patience_seconds, settled, under_way
from fixtures.replicas import kill_to_its_end
from fixtures.stack import Stack
from hotfire import Endpoint, Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import Awaited, of_target, until

pytestmark = requirement(
    "LIF-006",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The engines, and the way to end them."""

    cluster: Cluster
    stack: Stack
    agent: AgentClient
    container: str

    def last_node(self) -> list[Pod]:
        """Return the engines of one node, of the one whose engine comes last by its name."""
        engines = [pod for pod in self.stack.engines() if pod.serving]
        if len({pod.node for pod in engines}) < 2:
            raise HarnessError(
                f"{len(engines)} engines on one node: a drain leaves nobody to serve"
            )
        return [pod for pod in engines if pod.node == engines[-1].node]

    def evict(self, pod: Pod, within_seconds: float) -> None:
        """Evict as a drain does: again and again while a budget says no."""
        until(
            lambda: self.cluster.evict(pod).accepted,
            within_seconds=within_seconds,
            what=f"the eviction of {pod.name} allowed",
        )

    def gone(self, pods: list[Pod]) -> bool:
        there = {pod.uid for pod in self.cluster.pods(self.stack.namespace)}
        return there.isdisjoint(pod.uid for pod in pods)

    def grace_seconds(self, pod: Pod) -> float:
        found = self.cluster.get("Pod", pod.namespace, pod.name) or {}
        return float((found.get("spec") or {}).get("terminationGracePeriodSeconds") or 30)


@pytest.fixture
def ground(
    profile: TargetProfile, cluster: Cluster, stack: Stack, agent: AgentClient
) -> Iterator[Ground]:
    yield Ground(cluster=cluster, stack=stack, agent=agent, container=profile.engine.container)
    stack.wait_ready()


@pytest.fixture
def streams(
    endpoint: Endpoint, load: Callable[..., RunningLoad], profile: TargetProfile
) -> RunningLoad:
    return begun(endpoint, load, profile, name="LIF-006")


def test_streams_of_a_drained_node_end_whole(
    profile: TargetProfile, ground: Ground, streams: RunningLoad, evidence: Evidence
) -> None:
    engines = ground.last_node()
    evicted_ns = time.time_ns()
    gone, gone_ns = drained(engines, ground, profile), time.time_ns()
    # A stream of an engine that is gone may break only when somebody notices.
    until(
        lambda: settled(streams.rows(), gone_ns),
        within_seconds=patience_seconds(profile),
        what="every stream ended that began before the engines were gone",
    )
    ground.stack.wait_ready()
    killed_ns = killed(ground)
    streams.stop()

    rows = streams.rows()
    before_kill = [row for row in rows if (row.end_ns or 0) < killed_ns]
    crossed = [row for row in before_kill if under_way(row, evicted_ns)]
    lost = [row for row in before_kill if row.failed]
    lost_of_kill = [row for row in rows if row.failed and row not in lost]
    evidence.record("drained", [pod.name for pod in engines])
    evidence.record("streams", len(before_kill))
    evidence.record("under_way_at_eviction", len(crossed))
    evidence.record("lost", len(lost))
    evidence.record("lost_of_kill", len(lost_of_kill))

    assert gone, str(gone)
    assert not lost, (
        f"{len(lost)} of {len(before_kill)} streams broke when {len(engines)} engines of a node"
        f" were evicted: {lost[0].error_class}: {lost[0].detail}"
    )
    if not crossed:
        raise HarnessError("no stream was under way when the engines were evicted")
    # Negative control: an engine that is killed loses its streams, and we see it.
    if not lost_of_kill:
        raise HarnessError("killing an engine broke no stream: none was on it, or none is seen")


def drained(engines: list[Pod], ground: Ground, profile: TargetProfile) -> Awaited[bool]:
    """Evict engines; return whether they are gone when their grace is over."""
    grace = max(map(ground.grace_seconds, engines))
    for pod in engines:
        ground.evict(pod, profile.waits.pod_ready_seconds)
    return of_target(
        lambda: ground.gone(engines),
        within_seconds=grace + profile.waits.pod_gone_seconds,
        what=f"{', '.join(pod.name for pod in engines)} gone",
        excused_seconds=ground.cluster.silent_seconds,
    )


def killed(ground: Ground) -> int:
    """Kill the last engine's container; return when, by the epoch's clock."""
    victim = [pod for pod in ground.stack.engines() if pod.serving][-1]
    at_ns = time.time_ns()
    kill_to_its_end(ground.cluster, ground.agent, victim, ground.container)
    return at_ns
