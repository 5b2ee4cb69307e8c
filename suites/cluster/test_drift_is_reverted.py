"""Drift from the declared state is reverted by a controller.

What somebody edits at night to get through it is forgotten by the morning, and the next incident
happens on a platform that nobody has ever described. The edits here make no difference to anybody:
a rule and an option are said twice. Nothing is deleted, since nobody would be served until it is
back.
"""

from collections.abc import Iterator

import pytest

from fixtures.drift import Edit
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import Awaited, of_target

pytestmark = requirement(
    "CLU-008",
    Level.SHOULD,
    __doc__,
    source="https://opengitops.dev/#principles",
    features={"declared-state"},
)

UNDECLARED = "undeclared"


@pytest.fixture
def untouched(cluster: Cluster, profile: TargetProfile, stack: Stack) -> Iterator[dict[str, int]]:
    """The pods beside the engines, by uid how often each had restarted; all are Ready after."""
    yield restarts(cluster, profile)
    stack.wait_ready()


def restarts(cluster: Cluster, profile: TargetProfile) -> dict[str, int]:
    engines = {pod.uid for pod in cluster.pods(profile.namespace, profile.engine.selector)}
    found = cluster.pods(profile.namespace)
    return {pod.uid: pod.restarts for pod in found if pod.uid not in engines and not pod.over}


def reverted(edit: Edit, cluster: Cluster, within_seconds: float) -> Awaited[bool]:
    """Make an edit; return whether it was reverted in time. Afterwards it is, by us if need be."""
    declared = edit.read()
    edit.make()
    back = of_target(
        lambda: edit.read() == declared,
        within_seconds=within_seconds,
        what=f"the {edit.name} as declared",
        excused_seconds=cluster.silent_seconds,
    )
    edit.undo()
    return back


def test_edit_of_the_route_is_reverted(
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    route_edit: Edit,
    evidence: Evidence,
) -> None:
    metadata = {"name": UNDECLARED, "namespace": scratch.namespace}
    made = cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    cluster.delete("ConfigMap", scratch.namespace, UNDECLARED, uid=made["metadata"]["uid"])
    back = reverted(route_edit, cluster, profile.waits.drift_seconds)
    evidence.record(route_edit.name, {"reverted": bool(back)})

    assert back, f"edited by hand, {back}"
    # Negative control: nobody brings back whatever is gone.
    if cluster.get("ConfigMap", scratch.namespace, UNDECLARED):
        raise HarnessError(f"{UNDECLARED}, which nobody declared, is back: so anything would be")


def test_edit_of_the_engines_is_reverted_and_no_other_pod_restarts(
    profile: TargetProfile,
    cluster: Cluster,
    untouched: dict[str, int],
    engine_edit: Edit,
    evidence: Evidence,
) -> None:
    back = reverted(engine_edit, cluster, profile.waits.drift_seconds)
    now = restarts(cluster, profile)
    evidence.record(engine_edit.name, {"reverted": bool(back)})
    evidence.record("pods_beside_the_engines", {"before": untouched, "after": now})

    assert back, f"edited by hand, {back}"
    assert untouched.items() <= now.items(), f"pods of nothing that was edited: {untouched}, {now}"
