"""The AI operator is installed, denies by its webhook what cannot work, and reconciles the rest.

What an operator does not refuse at once its users find out about at night: as a resource that is
there and does nothing. A webhook that nobody asks, or that fails open, refuses nothing, and looks
the same from outside.
"""

from collections.abc import Iterator
from dataclasses import asdict

import pytest

from fixtures.operators import Operator, Sample, installed
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "OPR-001",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/extend-kubernetes/operator/",
    features={"operator"},
    cncf="operator.robust_controller",
)


@pytest.fixture
def operator(cluster: Cluster) -> Operator:
    return installed(cluster)


@pytest.fixture
def sample(operator: Operator, cluster: Cluster, scratch: Scratch) -> Iterator[Sample]:
    """A resource of the operator's that is right; it is gone before its namespace is."""
    found = operator.sample(scratch.namespace)
    yield found
    cluster.delete(operator.kind, scratch.namespace, found.name, api_version=operator.api)
    until(
        lambda: (
            cluster.get(operator.kind, scratch.namespace, found.name, api_version=operator.api)
            is None
        ),
        within_seconds=60,
        what=f"{operator.kind} {found.name} gone",
        excused_seconds=cluster.silent_seconds,
    )


def test_what_cannot_work_is_denied_and_what_can_gets_ready(
    cluster: Cluster,
    profile: TargetProfile,
    scratch: Scratch,
    operator: Operator,
    sample: Sample,
    evidence: Evidence,
) -> None:
    refused = cluster.would_admit(sample.senseless, namespace=scratch.namespace)
    misspelt = cluster.would_admit(sample.misspelt, namespace=scratch.namespace)
    evidence.record("webhooks", [asdict(one) for one in operator.webhooks])
    evidence.record("senseless", {"status": refused.status, "message": refused.message})
    evidence.record("misspelt", {"status": misspelt.status, "message": misspelt.message})
    unserved = [one.name for one in operator.webhooks if not one.served]

    assert operator.webhooks, f"no webhook validates {operator.kind}"
    assert not unserved, f"nobody answers for webhook {unserved[0]}"
    assert not refused.accepted, f"{operator.kind} with {sample.sense} would be accepted"
    assert operator.denied(refused), f"not its webhook's word: {refused.message}"
    # Negative control: what the schema refuses is no merit of a webhook.
    if misspelt.accepted or operator.denied(misspelt):
        raise HarnessError(f"the schema of {operator.kind} was to refuse: {misspelt.message}")

    cluster.apply(sample.sound, namespace=scratch.namespace)
    ready = of_target(
        lambda: operator.ready(scratch.namespace, sample.name),
        within_seconds=profile.waits.agent_seconds,
        what=f"{operator.kind} {sample.name} Ready",
        poll_seconds=0.5,
        excused_seconds=cluster.silent_seconds,
    )
    evidence.record("ready", bool(ready))
    assert ready, str(ready)
