"""Serving continues while the operator is down, and its return disturbs nothing.

An operator is restarted at each upgrade, and may be away for a night. Whoever made engines depend
on it has an outage each time; one that takes what it finds at its start for something to be made
anew turns its own upgrade into the loss of every engine at once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from fixtures.changes import Changes
from fixtures.engine_groups import Groups
from fixtures.stack import Stack
from fixtures.stopped import Part, part
from fixtures.traffic import wait_for_more
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Pod
from hotfire.errors import ClusterError, HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import pause

pytestmark = requirement(
    "OPR-004",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/extend-kubernetes/operator/",
    features={"engine-groups"},
)

RATE_PER_SECOND = 4.0
# In the API server's words: who is to look at a resource before it is taken does not answer.
UNANSWERED = "failed calling webhook"


@pytest.fixture
def operator(groups: Groups, changes: Changes) -> Iterator[Part]:
    """The target's own; it runs again before what it made is taken away."""
    what = "the operator of the resource that engine_groups names"
    cluster, profile = groups.cluster, groups.profile
    found = part("operator", what=what, cluster=cluster, profile=profile, changes=changes)
    yield found
    found.start()


def admitted(new: Groups) -> bool:
    """Return whether a new resource is taken; the operator's own webhook may be away with it.

    Raises:
        ClusterError: it is refused for another reason.
    """
    try:
        new.create(instances=1)
    except ClusterError as error:
        if UNANSWERED not in str(error):
            raise
        return False
    return True


def identities(pods: Iterable[Pod]) -> dict[str, tuple[str, int]]:
    """Return of each pod by which it is known: another one, or a restart, is something else."""
    return {pod.name: (pod.uid, pod.restarts) for pod in pods}


def test_users_and_pods_outlive_the_operator(
    groups: Groups,
    operator: Part,
    stack: Stack,
    load: Callable[..., RunningLoad],
    evidence: Evidence,
) -> None:
    groups.create(instances=1)
    groups.has(1).required()
    running = load(name="OPR-004", rate_per_second=RATE_PER_SECOND)
    wait_for_more(running, int(RATE_PER_SECOND))
    operator.stop()
    new = replace(groups, name="hotfire-new")
    taken = admitted(new)
    lose_one(groups, evidence)
    pause(groups.profile.measurement.hold_seconds, why="users are to be served without it so long")
    check_control(new, operator, evidence, taken=taken)
    before = identities([*groups.pods(), *stack.engines()])
    operator.start()
    if not taken:
        new.create(instances=1)
    groups.has(2).required(because="the operator is back")
    after = identities([*groups.pods(), *stack.engines()])
    wait_for_more(running, int(RATE_PER_SECOND))
    running.stop()
    lost = [row for row in running.rows() if row.failed]
    disturbed = sorted(name for name in before if after.get(name) != before[name])
    evidence.record("pods", {"before": before, "after": after})
    evidence.record("requests", {"sent": len(running.rows()), "lost": len(lost)})

    assert not disturbed, f"its return replaced or restarted {', '.join(disturbed)}"
    assert not lost, (
        f"{len(lost)} of {len(running.rows())} requests failed while it was away:"
        f" {lost[0].error_class}: {lost[0].detail}"
    )


def lose_one(groups: Groups, evidence: Evidence) -> None:
    """Delete a pod: it returns by itself where that is declared."""
    lost = groups.pods()[-1]
    groups.delete(lost)
    if groups.fields.pods_return_alone:
        groups.has(1).required(because=f"{lost.name} was deleted while the operator is away")
    evidence.record("lost", {"pod": lost.name, "returns": groups.fields.pods_return_alone})


def check_control(new: Groups, operator: Part, evidence: Evidence, *, taken: bool) -> None:
    """Negative control: what is asked for meanwhile does not come, so that nobody is there."""
    pods = len(new.pods())
    evidence.record("asked_for_meanwhile", {"taken": taken, "pods_of_all": pods})
    if pods > new.size:
        raise HarnessError(
            f"{pods} pods are there without {operator.workload}, {new.size} were: somebody else"
            f" makes them; name in components.operator what does"
        )
