"""Members of a group keep stable names, and are updated one instance at a time.

The ranks of a tensor-parallel engine find each other by name, in one order: under random names each
restart of a pod is one of the whole group. And an update that goes over all groups at once is an
outage; where each pod waits until it is deleted, whoever updates says which instance goes when.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from fixtures.engine_groups import Groups
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Document, Pod
from hotfire.waiting import eventually

pytestmark = requirement(
    "OPR-005",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#update-strategies",
    features={"engine-groups", "on-delete-updates"},
)

INSTANCES, NEW = 2, "new"
Members = Mapping[str, list[Pod]]
"""The pods of each instance."""


def least_whole(before: Members, states: Iterable[Document], *, label: str) -> int:
    """Return how few instances had all their pods serving at a time; ``states``: what followed."""
    known = {pod.uid: pod for pods in before.values() for pod in pods}
    least = len(before)
    for pod in map(Pod.parse, states):
        known[pod.uid] = pod
        serving = Counter(one.labels.get(label) for one in known.values() if one.serving)
        least = min(least, sum(serving[name] >= len(pods) for name, pods in before.items()))
    return least


def names(members: Members) -> dict[str, list[str]]:
    return {instance: [pod.name for pod in pods] for instance, pods in members.items()}


def test_an_instance_is_updated_when_its_pods_are_deleted_and_not_before(
    groups: Groups, evidence: Evidence
) -> None:
    groups.create(instances=INSTANCES)
    groups.has(INSTANCES).required()
    before = groups.by_instance()
    evidence.record("names", names(before))
    with groups.cluster.following_pods(groups.namespace) as followed:
        groups.renew(NEW)
        # OPR-003 judges whether that is told; before it is, the operator may not have looked yet.
        eventually(lambda: groups.told().current, within_seconds=5)
        for number, instance in enumerate(before):
            for pod in before[instance]:
                groups.delete(pod)
            groups.has(INSTANCES).required(because=f"the pods of {instance} were deleted")
            check_step(groups, before, list(before)[: number + 1])
        states = followed.states()
    least = least_whole(before, states, label=groups.fields.instance_label)
    evidence.record("least_whole_instances", {"of": INSTANCES, "least": least})
    evidence.record("revisions", groups.revisions())

    assert 2 * least >= INSTANCES, f"{least} of {INSTANCES} instances were whole at a moment"


def check_step(groups: Groups, before: Members, updated: list[str]) -> None:
    """Names are those of before; those whose pods were deleted are new, and no others are."""
    now, revisions = groups.by_instance(), groups.revisions()
    assert names(now) == names(before), f"names were {names(before)}, now they are {names(now)}"
    for instance, pods in now.items():
        former = {pod.uid for pod in before[instance]}
        if instance in updated:
            old = [pod.name for pod in pods if revisions[pod.name] != NEW]
            assert not old, f"{old[0]} was deleted and came back as it was before the update"
            continue
        # Negative control: what nobody deleted is as it was.
        gone = former - {pod.uid for pod in pods}
        assert not gone, f"pods of {instance} were replaced, and nobody deleted them"
        changed = [pod.name for pod in pods if revisions[pod.name] == NEW]
        assert not changed, f"{changed[0]} bears the new revision, and nobody deleted it"
