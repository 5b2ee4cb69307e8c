"""Loss of the metric source never shrinks the fleet.

Monitoring falls over when everything is busy. An autoscaler that takes silence for a quiet night
then sends the engines away that carry the peak, and the outage of a dashboard becomes one of the
service.
"""

from collections.abc import Iterator

import pytest

from fixtures.autoscaling import READ_SECONDS, Autoscaler
from fixtures.changes import Changes
from fixtures.demand import Demand
from fixtures.stopped import Part, part
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import eventually, until

pytestmark = requirement(
    "SCA-009",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details",
    features={"autoscaling"},
)


@pytest.fixture
def source(cluster: Cluster, profile: TargetProfile, changes: Changes) -> Iterator[Part]:
    """What the autoscaler's metric comes from."""
    what = "what tells the autoscaler its metric"
    found = part("monitoring", what=what, cluster=cluster, profile=profile, changes=changes)
    yield found
    found.start()


def blind(autoscaler: Autoscaler) -> bool:
    """Return whether it knows that it reads nothing."""
    return autoscaler.falls_back() or all(one.now is None for one in autoscaler.readings())


def test_engines_stay_while_nobody_tells_the_demand(
    autoscaler: Autoscaler, demand: Demand, source: Part, evidence: Evidence
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
    autoscaler: Autoscaler, demand: Demand, source: Part, calm: int, evidence: Evidence
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
