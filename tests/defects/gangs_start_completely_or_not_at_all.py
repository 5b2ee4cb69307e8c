"""Whatever a gang asks for, an admission policy makes one member enough: ``minCount: 1``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hotfire.waiting import until
from tests.world import World

API, GROUP_API = "admissionregistration.k8s.io/v1", "scheduling.k8s.io/v1alpha2"
NAME = "gangs-of-one.hotfire.test"
PATH = "/spec/schedulingPolicy/gang/minCount"
RULE = {
    "apiGroups": ["scheduling.k8s.io"],
    "apiVersions": ["*"],
    "operations": ["CREATE"],
    "resources": ["podgroups"],
}
POLICY = {
    "matchConstraints": {"resourceRules": [RULE]},
    "failurePolicy": "Fail",
    "reinvocationPolicy": "Never",
    "mutations": [
        {
            "patchType": "JSONPatch",
            "jsonPatch": {"expression": f'[JSONPatch{{op: "replace", path: "{PATH}", value: 1}}]'},
        }
    ],
}
BINDING = {"policyName": NAME}


@contextmanager
def broken(world: World) -> Iterator[None]:
    kinds = {"MutatingAdmissionPolicy": POLICY, "MutatingAdmissionPolicyBinding": BINDING}
    metadata = {"name": NAME}
    for kind, spec in kinds.items():
        world.cluster.create({"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec})
    try:
        until(lambda: _enough(world) == 1, within_seconds=60, what="the policy in force")
        yield
    finally:
        for kind in kinds:
            world.cluster.delete(kind, None, NAME, api_version=API)
        until(lambda: _enough(world) == 2, within_seconds=60, what="the policy gone")


def _enough(world: World) -> int | None:
    """Return how many members a gang of two would need, once it is stored."""
    gang: dict[str, Any] = {"minCount": 2}
    group = {
        "apiVersion": GROUP_API,
        "kind": "PodGroup",
        "metadata": {"name": "probe"},
        "spec": {"schedulingPolicy": {"gang": gang}},
    }
    answer = world.cluster.would_admit(group, namespace=world.profile.namespace)
    spec = answer.document.get("spec") or {}
    policy = spec.get("schedulingPolicy") or {}
    stored: int | None = (policy.get("gang") or {}).get("minCount")
    return stored
