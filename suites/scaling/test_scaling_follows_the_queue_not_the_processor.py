"""Scaling follows queue or latency, not use of the processor.

An engine waits for its accelerator, so its processor is idle while users queue; and it compiles,
loads and tokenizes at full use while nobody waits. Scaled by that, the fleet is small when it is
needed and large when it is not.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from fixtures.autoscaling import Autoscaler
from fixtures.demand import Demand
from fixtures.within_engines import WithinEngines, container_of
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_answers import ContainerUse
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Pod, quantity
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "SCA-002",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details",
    features={"autoscaling"},
)

# Of what an engine asked for, which is what an autoscaler goes by.
IDLE, BUSY = 0.2, 0.9
# A processor's use is averaged and told every fifteen seconds by default, and looked at as often.
BUSY_SECONDS = 50.0
# One process for each core begun; each uses its share of the time so far, and ends by itself.
_BURN = """
import subprocess, sys
cores, seconds = float(sys.argv[1]), sys.argv[2]
work = '''
import sys, time
share, seconds, began = float(sys.argv[1]), float(sys.argv[2]), time.monotonic()
while (passed := time.monotonic() - began) < seconds:
    if time.process_time() > share * passed:
        time.sleep(0.005)
'''
shares = [1.0] * int(cores) + [cores % 1]
argv = [sys.executable, "-c", work]
burning = [subprocess.Popen([*argv, str(share), seconds]) for share in shares]
sys.exit(any(one.wait() for one in burning))
"""
_EXEC_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Processors:
    """The processors of engines: what they use of what they asked for."""

    cluster: Cluster
    agent: AgentClient
    within: WithinEngines
    container: str
    shares: dict[str, float] = field(default_factory=dict)
    """By engine, of the last watch."""

    @contextmanager
    def watched(self, pods: list[Pod]) -> Iterator[None]:
        """Fill ``shares`` with the mean use over a block."""
        before = [self._use(pod) for pod in pods]
        yield
        for pod, began in zip(pods, before, strict=True):
            ended = self._use(pod)
            cores = (ended.processor_ns - began.processor_ns) / (ended.at_ns - began.at_ns)
            self.shares[pod.name] = cores / self.asked(pod)

    def asked(self, pod: Pod) -> float:
        """Return the cores that an engine asked for; one, where it did not."""
        found = self.cluster.get("Pod", pod.namespace, pod.name)
        if found is None:
            raise HarnessError(f"{pod.name} went away while it was measured")
        resources = container_of(found, self.container).get("resources") or {}
        return float(quantity((resources.get("requests") or {}).get("cpu", "1")))

    @contextmanager
    def burnt(self, pods: list[Pod]) -> Iterator[None]:
        """Keep engines' processors busy with work that is nobody's request; it is over after it.

        No more than what they asked for is used, so that nobody else goes short.
        """
        with ThreadPoolExecutor(len(pods)) as pool:
            burning = [pool.submit(self._burn, pod) for pod in pods]
            yield
            for one in burning:
                one.result()

    def _burn(self, pod: Pod) -> None:
        words = str(self.asked(pod)), str(BUSY_SECONDS)
        self.within.run(pod, _BURN, *words, within_seconds=BUSY_SECONDS + _EXEC_SECONDS)

    def _use(self, pod: Pod) -> ContainerUse:
        status = pod.container(self.container)
        if status is None:
            raise HarnessError(f"{pod.name} has no container {self.container}")
        return self.agent.container_use(pod.node, pod_uid=pod.uid, container_id=status.container_id)


@pytest.fixture
def processors(
    cluster: Cluster, agent: AgentClient, within_engines: WithinEngines, profile: TargetProfile
) -> Processors:
    return Processors(
        cluster=cluster, agent=agent, within=within_engines, container=profile.engine.container
    )


def test_a_queue_brings_engines_and_a_busy_processor_none(
    autoscaler: Autoscaler, demand: Demand, processors: Processors, evidence: Evidence
) -> None:
    calm = autoscaler.calm()
    engines = autoscaler.serving()
    with processors.watched(engines), processors.burnt(engines):
        misled = eventually(lambda: autoscaler.replicas() > calm, within_seconds=BUSY_SECONDS)
    busy = dict(processors.shares)
    evidence.record("busy_without_requests", {"use": busy, "engines_wanted": autoscaler.replicas()})
    # Negative control: without anybody's request nobody is needed.
    assert not misled, f"{autoscaler.name} wants more than {calm} engines for busy processors"
    if min(busy.values()) < BUSY:
        raise HarnessError(f"processors were to be busy, and used of their requests: {busy}")

    with processors.watched(engines):
        raised = demand.raise_above_target(calm)
        evidence.record("demand", raised.document())
        if not raised.above and any(one.now is None for one in raised.after):
            raise HarnessError(f"{raised.told}; SCA-001 judges that")
        assert raised.above, f"{raised.told}: {autoscaler.name} sees no need of another engine"
        grown = autoscaler.grown(calm + 1)
    idle = dict(processors.shares)
    evidence.record("queue", {"use": idle, "engines": len(autoscaler.serving())})
    assert grown, f"{grown}, with {raised.in_flight} requests in flight"
    if max(idle.values()) > IDLE:
        raise HarnessError(f"the queue kept processors busy, too: {idle} of their requests")
