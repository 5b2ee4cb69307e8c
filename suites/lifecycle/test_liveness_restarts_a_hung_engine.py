"""Liveness restarts a hung engine.

An engine that waits for ever, for a collective that never ends or a lock that nobody gives back,
has not crashed: its container runs and its pod is there. Only a probe that notices brings it back;
one that looks at a part that lives on does not.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fixtures.stack import Stack
from fixtures.within_engines import ANSWERED, WithinEngines, container_of
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Document, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "LIF-003",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
)

# vLLM's scheduler and workers, where they are not in the process that answers HTTP.
CORE = "EngineCore"
# For the kubelet to notice, and to start the container.
MARGIN_SECONDS = 20.0
# Kubernetes' own.
DEFAULTS = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """How long a hung container goes on at most."""

    noticed_seconds: float
    grace_seconds: float

    @property
    def promised_seconds(self) -> float:
        return self.noticed_seconds + self.grace_seconds

    @property
    def limit_seconds(self) -> float:
        return self.promised_seconds + MARGIN_SECONDS


def liveness(document: Document, container: str) -> Liveness | None:
    """Return what a container's probe promises; None: it has none."""
    if not (probe := container_of(document, container).get("livenessProbe")):
        return None
    period, timeout, failures = (probe.get(name, value) for name, value in DEFAULTS.items())
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is None:
        grace = document["spec"]["terminationGracePeriodSeconds"]
    # A probe that runs into its timeout ends later than the next one was due.
    return Liveness(noticed_seconds=failures * max(period, timeout), grace_seconds=grace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The engines, the last of which is stopped."""

    cluster: Cluster
    agent: AgentClient
    within: WithinEngines
    profile: TargetProfile

    def stop(self, pod: Pod, entry: str) -> None:
        """Let every process of an engine stand still, or the one that computes if it is apart."""
        found = pod.container(self.profile.engine.container)
        names = {"container_id": found.container_id if found else "", "pod_uid": pod.uid}
        names |= {"process": CORE} if CORE in self.within.command_lines(pod) else {}
        self.agent.fire(pod.node, "process.signal", entry, signal="STOP", **names)

    def restarts(self, pod: Pod) -> int:
        """Return how often a pod's containers were started anew; one that was replaced counts."""
        now = self.cluster.pod(pod.namespace, pod.name)
        return now.restarts if now and now.uid == pod.uid else pod.restarts + 1


@pytest.fixture
def engines(
    cluster: Cluster,
    agent: AgentClient,
    stack: Stack,
    within_engines: WithinEngines,
    profile: TargetProfile,
) -> Iterator[Engines]:
    yield Engines(cluster=cluster, agent=agent, within=within_engines, profile=profile)
    stack.wait_ready()


def test_engine_that_stands_still_is_restarted(engines: Engines, evidence: Evidence) -> None:
    *others, victim = engines.within.serving()
    document = engines.cluster.get("Pod", victim.namespace, victim.name) or {}
    promised = liveness(document, engines.profile.engine.container)
    assert promised, f"{victim.name} has no liveness probe: hung, it would stay so"
    before = engines.within.answer(victim)
    if before != ANSWERED:
        raise HarnessError(f"{victim.name} does not answer before it is stopped either: {before}")

    hung, seconds = hang(engines, victim, promised.limit_seconds)
    restarts = {pod.name: engines.restarts(pod) - pod.restarts for pod in others}
    evidence.record("hung", {"pod": victim.name, "says": hung})
    evidence.record("restarted_after_seconds", seconds)
    evidence.record("promised_seconds", promised.promised_seconds)
    evidence.record("limit_seconds", promised.limit_seconds)
    evidence.record("restarts_of_others", restarts)

    if hung == ANSWERED:
        raise HarnessError(f"{victim.name} answers while its processes stand still")
    assert seconds is not None, (
        f"{victim.name} stood still for {promised.limit_seconds:g} s and was not restarted: its"
        " liveness probe looks at something that lives on"
    )
    # Negative control: it was the probe, and not somebody who restarts them all.
    if any(restarts.values()):
        raise HarnessError(f"engines that nobody stopped were restarted as well: {restarts}")


def hang(engines: Engines, victim: Pod, limit_seconds: float) -> tuple[str, float | None]:
    """Stop an engine; return what it answers then, and when it was restarted; None: it was not."""
    entry, began = f"hung-{victim.uid[:12]}", time.monotonic()
    try:
        engines.stop(victim, entry)
        answer = engines.within.answer(victim, within_seconds=3)
        restarted = of_target(
            lambda: engines.restarts(victim) > victim.restarts,
            within_seconds=limit_seconds,
            what=f"{victim.name} restarted",
            excused_seconds=engines.cluster.silent_seconds,
        )
    finally:
        engines.agent.heal(victim.node, entry)
    return answer, round(time.monotonic() - began, 1) if restarted else None
