"""A tensor-parallel engine scales by whole instances, never inside its group.

A group computes on all its pods at once. One pod more holds accelerators and computes nothing; with
one less the engine stands still. An autoscaler that is pointed at the group does both, at night.
"""

from collections.abc import Iterator

from fixtures.accelerators import Accelerators
from fixtures.engine_groups import Groups
from hotfire import Evidence, Level, requirement
from hotfire.cluster import Document, Owner, chain
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCA-005",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#scale-subresource",
    features={"engine-groups"},
)

Object = tuple[str, str]
"""Kind and name."""


def test_instances_come_and_go_whole(
    groups: Groups, accelerators: Accelerators, evidence: Evidence
) -> None:
    groups.create(instances=1)
    groups.has(1).required()
    [first] = groups.by_instance()
    alone, members = objects(groups), {pod.uid for pod in groups.pods()}
    grown = scaled(groups, 2)
    evidence.record("pods_by_instance", grown)
    assert list(grown.values()) == [groups.size] * 2, (
        f"2 instances of {groups.size} pods were asked for, there are {grown}"
    )
    assert members <= {pod.uid for pod in groups.by_instance()[first]}, f"{first} was made anew"
    shrunk = scaled(groups, 1)
    left = of_target(
        lambda: not (objects(groups) - alone) and holders(groups, accelerators) <= pods(groups),
        within_seconds=groups.profile.waits.pod_gone_seconds,
        what="nothing left of an instance that was taken away",
        poll_seconds=0.5,
        excused_seconds=groups.cluster.silent_seconds,
    )
    remains = objects(groups) - alone | {
        ("accelerator of", pod) for pod in holders(groups, accelerators) - pods(groups)
    }
    evidence.record("after_scaling_down", {"pods_by_instance": shrunk, "left": sorted(remains)})
    assert list(shrunk.values()) == [groups.size], f"one instance was asked for, there are {shrunk}"
    assert left, f"{left}: {sorted(remains)}"
    check_inside(groups, evidence)


def scaled(groups: Groups, instances: int) -> dict[str, int]:
    """Ask for so many instances; return how many pods each has once they are there, or too many."""
    groups.change(instances=instances)

    def settled() -> bool:
        largest = max(map(len, groups.by_instance().values()), default=0)
        return groups.complete(instances) or largest > groups.size

    of_target(
        settled,
        within_seconds=groups.profile.waits.pod_ready_seconds,
        what=f"{instances} instances",
        poll_seconds=0.5,
        excused_seconds=groups.cluster.silent_seconds,
    )
    return {name: len(pods) for name, pods in groups.by_instance().items()}


def objects(groups: Groups) -> set[Object]:
    """Return what is in the namespace of the kinds that an instance may be made of."""
    kinds = (
        *(("Pod", "v1"), ("Service", "v1"), ("PersistentVolumeClaim", "v1")),
        *(("StatefulSet", "apps/v1"), ("Deployment", "apps/v1"), ("ReplicaSet", "apps/v1")),
        *(("ControllerRevision", "apps/v1"), ("PodDisruptionBudget", "policy/v1")),
    )
    return {
        (kind, one["metadata"]["name"])
        for kind, version in kinds
        for one in groups.cluster.list(kind, groups.namespace, api_version=version)
    }


def pods(groups: Groups) -> set[str]:
    return {pod.name for pod in groups.pods()}


def holders(groups: Groups, accelerators: Accelerators) -> set[str]:
    """Return the pods of the namespace that hold an accelerator, as its node knows it."""
    nodes = [node for node in groups.cluster.nodes() if accelerators.total(node)]
    held = [pod for node in nodes for pod in accelerators.holders(node)]
    return {name for namespace, name in held if namespace == groups.namespace}


def check_inside(groups: Groups, evidence: Evidence) -> None:
    """Negative control: a group does change its size when somebody changes it, and is put right."""
    told = {}
    for owner, document in makers(groups):
        replicas = document["spec"]["replicas"]
        body = {"spec": {"replicas": replicas + 1}}
        version = owner.api_version
        answer = groups.cluster.would_admit_change(
            owner.kind, groups.namespace, owner.name, body, api_version=version
        )
        told[str(owner)] = "reverted" if answer.accepted else answer.message
        if answer.accepted:
            groups.cluster.patch(
                owner.kind, groups.namespace, owner.name, body, api_version=version
            )
            check_reverted(groups, owner, replicas)
    lost = groups.pods()[-1]
    groups.delete(lost)
    back = groups.has(1)
    evidence.record("scaled_inside", told)
    evidence.record("pod_deleted", lost.name)
    assert back, f"{back}: {lost.name} was deleted"


def check_reverted(groups: Groups, owner: Owner, replicas: int) -> None:
    def reverted() -> bool:
        found = groups.cluster.get(
            owner.kind, groups.namespace, owner.name, api_version=owner.api_version
        )
        return bool(found and found["spec"]["replicas"] == replicas and groups.complete(1))

    back = of_target(
        reverted,
        within_seconds=groups.profile.waits.drift_seconds,
        what=f"{owner} with {replicas} replicas again, as its group has",
        poll_seconds=0.5,
        excused_seconds=groups.cluster.silent_seconds,
    )
    assert back, str(back)


def makers(groups: Groups) -> Iterator[tuple[Owner, Document]]:
    """Yield what stands between a pod and the resource, and has replicas of its own."""
    document = groups.cluster.list("Pod", groups.namespace)[0]

    def read(owner: Owner) -> Document | None:
        return groups.cluster.get(
            owner.kind, groups.namespace, owner.name, api_version=owner.api_version
        )

    for owner, found in chain(document, read):
        if owner.kind != groups.fields.kind and found and "replicas" in found["spec"]:
            yield owner, found
