"""The startup budget exceeds the measured model load time.

A kubelet restarts a container whose probes fail for too long, also one that was still loading its
model. A budget that fits an idle machine and a warm disk is too short on the day when a whole fleet
starts at once: every engine is then killed a moment before it would have served, for ever.
"""

import math
from collections.abc import Iterator

import pytest

from fixtures.changes import Changes
from fixtures.replicas import newcomer, one_more_replica, start_seconds
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from fixtures.within_engines import container_of
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "LIF-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
)

# Each costs a whole load, minutes with real weights, on an accelerator that must be free: two tell
# the first one on a node from the next. Whatever is slower than both the factor is for.
COLD_STARTS = 2
FACTOR = 1.5
# Kubernetes' own.
DEFAULTS = {"initialDelaySeconds": 0, "periodSeconds": 10, "failureThreshold": 3}
# Two seconds, of which the container of the control uses none.
SHORT = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 3}


def budget_seconds(container: Document) -> float:
    """Return after how long a container that does not answer is killed, at the earliest."""
    probe = container.get("startupProbe") or container.get("livenessProbe")
    if probe is None:
        return math.inf
    delay, period, failures = (probe.get(name, value) for name, value in DEFAULTS.items())
    return float(delay + (failures - 1) * period)


@pytest.fixture
def first_start(stack: Stack, cluster: Cluster, changes: Changes) -> Iterator[Pod]:
    """An additional replica that has just been started."""
    with one_more_replica(stack, cluster, changes) as new:
        if not new:
            raise HarnessError(f"{new}; a cold start needs a free accelerator: free one")
        yield new.seen[0]


def test_every_engine_may_take_longer_than_a_cold_start(
    profile: TargetProfile, cluster: Cluster, stack: Stack, first_start: Pod, evidence: Evidence
) -> None:
    documents = {pod.name: cluster.get("Pod", pod.namespace, pod.name) for pod in stack.engines()}
    budgets = {
        name: budget_seconds(container_of(document, profile.engine.container))
        for name, document in documents.items()
        if document
    }
    least = min(budgets.values(), default=math.inf)
    evidence.record("budgets_seconds", {name: str(value) for name, value in budgets.items()})
    evidence.record("startup_budget_seconds", None if math.isinf(least) else least)
    starts = [measured(first_start, profile, cluster)]
    while len(starts) < COLD_STARTS:
        before = {pod.uid for pod in stack.engines()}
        last = next(pod for pod in stack.engines() if pod.uid == first_start.uid)
        cluster.delete("Pod", last.namespace, last.name, uid=last.uid, grace_seconds=1)
        first_start = newcomer(stack, cluster, before).required()[0]
        starts.append(measured(first_start, profile, cluster))
    needed = FACTOR * max(starts)
    evidence.record("cold_starts_seconds", starts)
    evidence.record("slowest_cold_start_seconds", max(starts))
    evidence.record("needed_seconds", needed)

    for name, budget in budgets.items():
        assert budget >= needed, (
            f"{name} is killed if it does not answer within {budget:g} s; a cold start took"
            f" {max(starts):g} s, which with room for a slow one is {needed:g} s"
        )


def measured(pod: Pod, profile: TargetProfile, cluster: Cluster) -> float:
    """Return how long a new engine took to get ready; one that is killed meanwhile fails."""

    def settled() -> Document | None:
        document = cluster.get("Pod", pod.namespace, pod.name) or {}
        if not document:
            raise HarnessError(f"{pod.name} vanished while it started")
        now = Pod.parse(document)
        return document if now.ready or now.restarts else None

    found = of_target(
        settled,
        within_seconds=profile.waits.pod_ready_seconds,
        what=f"{pod.name} Ready",
        excused_seconds=cluster.silent_seconds,
    )
    assert found.seen is not None, f"{pod.name} was not Ready after {found.within_seconds:g} s"
    restarts = Pod.parse(found.seen).restarts
    assert not restarts, f"{pod.name} was restarted {restarts} times before it was Ready"
    return start_seconds(found.seen, profile.engine.container)


def test_what_takes_longer_than_its_budget_is_restarted(
    profile: TargetProfile, scratch: Scratch, evidence: Evidence
) -> None:
    """Negative control: on this target the budget, computed as above, is what ends a start."""
    probe = {"startupProbe": SHORT}
    scratch.pod(
        "slow",
        argv=["sleep", "600"],
        spec_besides={"restartPolicy": "Always"},
        container_besides=probe,
    )
    found = of_target(
        lambda: scratch.get("slow").restarts,
        within_seconds=10 * budget_seconds(probe) + profile.waits.unschedulable_seconds,
        what="a container restarted that is never ready",
    )
    evidence.record("budget_seconds", budget_seconds(probe))
    evidence.record("restarts", found.seen)
    if not found:
        raise HarnessError(f"{found}; probes seem to have no consequence here")
