"""Loss of the metric source never shrinks the fleet.

Monitoring falls over when everything is busy. An autoscaler that takes silence for a quiet night
then sends the engines away that carry the peak, and the outage of a dashboard becomes one of the
service.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fixtures.autoscaling import READ_SECONDS, Autoscaler
from fixtures.changes import Changes
from fixtures.demand import Demand
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Pod, Replicated
from hotfire.errors import HarnessError
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "SCA-009",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details",
    features={"autoscaling"},
)

NOWHERE = "set components.monitoring to what tells the autoscaler its metric"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the autoscaler's metric comes from, as the target file names it."""

    cluster: Cluster
    profile: TargetProfile
    changes: Changes
    workload: Replicated

    def stop(self) -> None:
        """Stop it, and wait until nothing of it runs."""
        none = self.workload.with_replicas(0)
        self.changes.write(self.workload.kind.resource, self.workload.document, none)
        until(
            lambda: not self._pods(),
            within_seconds=self.profile.waits.pod_gone_seconds,
            what=f"the pods of {self.workload} gone",
            excused_seconds=self.cluster.silent_seconds,
        )

    def start(self) -> None:
        """Let it run as before, and wait until it does."""
        self.changes.put_back(self.workload.document)
        until(
            lambda: sum(pod.serving for pod in self._pods()) >= self.workload.replicas,
            within_seconds=self.profile.waits.pod_ready_seconds,
            what=f"the pods of {self.workload} Ready",
            excused_seconds=self.cluster.silent_seconds,
        )

    def _pods(self) -> list[Pod]:
        labels = self.workload.said("selector.matchLabels")
        return self.cluster.pods(self.workload.namespace, labels)


@pytest.fixture
def source(cluster: Cluster, profile: TargetProfile, changes: Changes) -> Iterator[Source]:
    part = profile.components.get("monitoring")
    if part is None:
        raise HarnessError(NOWHERE)
    found = cluster.get(part.kind, part.namespace, part.name, api_version="apps/v1")
    if found is None:
        raise HarnessError(f"{NOWHERE}: there is no {part.kind} {part.namespace}/{part.name}")
    workload = Replicated.of(found)
    one = Source(cluster=cluster, profile=profile, changes=changes, workload=workload)
    yield one
    one.start()


def blind(autoscaler: Autoscaler) -> bool:
    """Return whether it knows that it reads nothing."""
    return autoscaler.falls_back() or all(one.now is None for one in autoscaler.readings())


def test_engines_stay_while_nobody_tells_the_demand(
    autoscaler: Autoscaler, demand: Demand, source: Source, evidence: Evidence
) -> None:
    calm = autoscaler.calm()
    raised = demand.raise_above_target(calm)
    grown = autoscaler.grown(max(calm + 1, autoscaler.replicas()))
    if not grown:
        raise HarnessError(f"{grown}: nothing could shrink; {raised.told}; SCA-001 judges that")
    engines = autoscaler.replicas()
    source.stop()
    lost = eventually(lambda: blind(autoscaler), within_seconds=READ_SECONDS)
    shrank = eventually(
        lambda: autoscaler.replicas() < engines,
        within_seconds=autoscaler.window_seconds() + READ_SECONDS,
        poll_seconds=0.5,
    )
    evidence.record("demand", raised.document())
    evidence.record("engines", {"before": engines, "without_the_source": autoscaler.replicas()})
    evidence.record("source_lost", lost)
    assert not shrank, (
        f"{autoscaler.replicas()} of {engines} engines were wanted while nobody could tell the"
        f" demand of {raised.in_flight} requests"
    )
    if not lost:
        raise HarnessError(f"{autoscaler.name} read its metric without {source.workload}")
    check_control(autoscaler, demand, source, calm, evidence)


def check_control(
    autoscaler: Autoscaler, demand: Demand, source: Source, calm: int, evidence: Evidence
) -> None:
    """Negative control: a true zero does take engines away."""
    source.start()
    demand.end()
    until(
        lambda: not blind(autoscaler),
        within_seconds=source.profile.waits.pod_ready_seconds,
        what=f"{autoscaler.name} reading its metric again",
        poll_seconds=0.5,
        excused_seconds=source.cluster.silent_seconds,
    )
    shrunk = autoscaler.shrunk(calm)
    evidence.record("engines_after_the_demand", autoscaler.replicas())
    if not shrunk:
        raise HarnessError(f"{shrunk} although no demand is left: nothing ever shrinks here")
