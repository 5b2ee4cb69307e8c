"""Namespace quotas bound GPUs, CPU and memory, and a LimitRange fills missing requests.

One team's runaway Job takes every GPU of the cluster within a minute; only the quota of its
namespace stops it before the scheduler is asked. A quota of CPU and memory alone looks just as well
and stops no GPU. The pods of this check are dry runs: asked about, never created.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from fixtures.scratch import Scratch
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Answer, Cluster, Document, quantity
from hotfire.errors import HarnessError
from hotfire.waiting import until

pytestmark = requirement(
    "SCH-007",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/policy/resource-quotas/",
    features={"quotas"},
    scope=Scope.CORE,
)

MORE = {"cpu": Decimal("0.1"), "memory": Decimal(2**20)}
"""How much above the bound is asked for; of accelerators, one."""
LITTLE = {"cpu": "50m", "memory": "64Mi"}
EXCEEDED, UNSAID = "exceeded quota", "must specify"
# Nothing that a strict pod security policy would refuse first.
HARMLESS = {
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was answered to a pod of what is left, and to one of more than that."""

    left: str
    beyond: str
    within: Answer
    above: Answer
    above_elsewhere: Answer
    """The same as above, in a namespace of ours, which has no quota."""


@pytest.mark.parametrize("kind", ["accelerator", "cpu", "memory"])
def test_what_is_left_is_admitted_and_no_more(
    kind: str,
    profile: TargetProfile,
    cluster: Cluster,
    stack: object,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    resource = profile.accelerator.resource if kind == "accelerator" else kind
    [asked] = until(
        lambda: asked_while_nothing_changed(cluster, profile, scratch, resource),
        within_seconds=profile.waits.unschedulable_seconds,
        what=f"the quotas of {profile.namespace} at rest while they were asked about {resource}",
    )
    evidence.record("what_is_left", {"asked_for": asked.left, "answer": told(asked.within)})
    evidence.record("more", {"asked_for": asked.beyond, "answer": told(asked.above)})
    evidence.record("more_without_quotas", told(asked.above_elsewhere))

    # Negative control: nothing but the quota of this namespace is in the way.
    if not asked.above_elsewhere.accepted:
        raise HarnessError(f"refused elsewhere too: {asked.above_elsewhere.message}")
    assert not asked.above.accepted, (
        f"a pod of {asked.beyond} {resource} was admitted: no quota of its namespace bounds that"
    )
    for answer in (asked.within, asked.above):
        if not (answer.accepted or about(answer, resource)):
            raise HarnessError(f"refused, but not for the {resource} it asks for: {answer.message}")
    assert asked.within.accepted, f"{asked.left} are left, yet: {asked.within.message}"


def test_bare_pod_receives_requests(
    profile: TargetProfile, cluster: Cluster, stack: object, evidence: Evidence
) -> None:
    answer = cluster.would_admit(pod(profile, {}), namespace=profile.namespace)
    evidence.record("answer", told(answer))
    if not answer.accepted and UNSAID not in answer.message:
        raise HarnessError(f"a bare pod is refused for another reason: {answer.message}")
    containers = (answer.document.get("spec") or {}).get("containers") or [{}]
    requests = (containers[0].get("resources") or {}).get("requests") or {}
    evidence.record("requests_it_received", requests)

    # A quota refuses what does not say how much it wants; that is what defaults are for.
    assert answer.accepted, f"a pod without requests is refused: {answer.message}"
    assert requests.keys() >= {"cpu", "memory"}, f"a pod without requests received {requests}"


def asked_while_nothing_changed(
    cluster: Cluster, profile: TargetProfile, scratch: Scratch, resource: str
) -> list[Asked]:
    """Ask about what is left and more; of no use while the quotas move or are being counted."""
    quotas = unscoped_quotas(cluster, profile.namespace)
    if any(each["spec"].get("hard") != each.get("status", {}).get("hard") for each in quotas):
        return []
    left = left_of(resource, quotas)
    more = MORE.get(resource, Decimal(1))
    # Where no quota names it, nobody could need what all nodes together do not have.
    beyond = more + (whole_cluster(cluster, resource) if left is None else left)
    least = quantity(LITTLE.get(resource, "0"))
    fitting = written(resource, least if left is None else left)
    if left is not None and left < least:
        raise HarnessError(f"only {left} {resource} are left in {profile.namespace}; free some")
    above = pod(profile, {resource: written(resource, beyond)})
    asked = Asked(
        left=fitting,
        beyond=written(resource, beyond),
        within=cluster.would_admit(pod(profile, {resource: fitting}), namespace=profile.namespace),
        above=cluster.would_admit(above, namespace=profile.namespace),
        above_elsewhere=cluster.would_admit(above, namespace=scratch.namespace),
    )
    return [asked] if unscoped_quotas(cluster, profile.namespace) == quotas else []


def unscoped_quotas(cluster: Cluster, namespace: str) -> list[Document]:
    """Return the quotas that hold for every pod: others let a pod of another kind pass."""
    found = cluster.list("ResourceQuota", namespace)
    return [
        each
        for each in found
        if not each["spec"].get("scopes") and not each["spec"].get("scopeSelector")
    ]


def left_of(resource: str, quotas: Sequence[Document]) -> Decimal | None:
    """Return how much may be asked for, limits being as large; None if nothing bounds it."""
    names = {f"requests.{resource}", f"limits.{resource}", resource}
    rows = [each["status"] for each in quotas if each.get("status")]
    left = [
        quantity(row["hard"][name]) - quantity((row.get("used") or {}).get(name, "0"))
        for row in rows
        for name in names & row.get("hard", {}).keys()
    ]
    return max(Decimal(0), min(left)) if left else None


def whole_cluster(cluster: Cluster, resource: str) -> Decimal:
    return sum(
        (quantity(node.allocatable.get(resource, "0")) for node in cluster.nodes()), Decimal(0)
    )


def written(resource: str, amount: Decimal) -> str:
    return f"{int(amount * 1000)}m" if resource == "cpu" else str(int(amount))


def about(answer: Answer, resource: str) -> bool:
    return EXCEEDED in answer.message and f"{resource}=" in answer.message


def told(answer: Answer) -> str:
    return f"{answer.status} {answer.message}".strip()


def pod(profile: TargetProfile, asks: Mapping[str, str]) -> Document:
    """Return a pod that asks for this and little else, or for nothing at all."""
    amounts = {**LITTLE, **{name: text for name, text in asks.items() if text != "0"}}
    resources = {"requests": amounts, "limits": amounts} if asks else {}
    container = {
        "name": "probe",
        "image": profile.images.python,
        "resources": resources,
        "securityContext": HARMLESS,
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    metadata = {"name": "hotfire-quota-probe"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
