"""Data-plane and tenant accounts cannot change control-plane or foreign objects.

An engine runs code that came with a model and answers everybody; a proxy reads what everybody
sends. Whoever takes one over has its service account: it must not be able to move traffic, to
change what operators make, or to reach into other namespaces.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, product

import pytest

from fixtures.access import Access, Account, Act
from fixtures.data_plane import DataPlane
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SEC-009",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/security/rbac-good-practices/",
    scope=Scope.SMOKE,
)

CHANGING = ("create", "patch", "delete")
RBAC = "rbac.authorization.k8s.io"
OF_NO_NAMESPACE = (
    ("", "nodes"),
    ("", "namespaces"),
    ("", "persistentvolumes"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    (RBAC, "clusterroles"),
    (RBAC, "clusterrolebindings"),
)
IN_NAMESPACES = (
    ("", "pods"),
    ("", "secrets"),
    ("", "configmaps"),
    ("", "services"),
    ("apps", "deployments"),
    ("apps", "daemonsets"),
    (RBAC, "rolebindings"),
)
# As good as changing: another's secrets, another's containers, another's name, more rights.
AS_GOOD_AS_CHANGING = (
    Act(verb="get", resource="nodes/proxy"),
    Act(verb="impersonate", resource="serviceaccounts"),
    Act(verb="escalate", group=RBAC, resource="clusterroles"),
    Act(verb="bind", group=RBAC, resource="clusterroles"),
)
AS_GOOD_IN_NAMESPACES = (
    ("get", "secrets"),
    ("create", "pods/exec"),
    ("create", "serviceaccounts/token"),
)
DEFINITIONS = "apiextensions.k8s.io/v1"
KUBE_SYSTEM, DEFAULT = "kube-system", "default"
ROUTES = ("gateway.networking.k8s.io", "httproutes")
REVIEWS_AT_ONCE = 8


def of_no_namespace() -> Iterator[Act]:
    yield from AS_GOOD_AS_CHANGING
    for verb, (group, resource) in product(CHANGING, OF_NO_NAMESPACE):
        yield Act(verb=verb, group=group, resource=resource)


def within(namespace: str) -> Iterator[Act]:
    """Yield what nobody of another namespace may do in this one."""
    for verb, (group, resource) in product(CHANGING, IN_NAMESPACES):
        yield Act(verb=verb, group=group, resource=resource, namespace=namespace)
    for verb, resource in AS_GOOD_IN_NAMESPACES:
        yield Act(verb=verb, resource=resource, namespace=namespace)


def of_operators(definitions: Iterable[Document], namespace: str) -> Iterator[Act]:
    """Yield every change of a custom resource, routes among them, in a namespace or of none."""
    for verb, definition in product(CHANGING, definitions):
        spec = definition["spec"]
        yield Act(
            verb=verb,
            group=spec["group"],
            resource=spec["names"]["plural"],
            namespace=namespace if spec["scope"] == "Namespaced" else "",
        )


@pytest.fixture
def accounts(
    profile: TargetProfile, data_plane: DataPlane, scratch: Scratch, evidence: Evidence
) -> dict[Account, str]:
    """Whose rights are looked at: engines, proxies, and tenants who named no account."""
    found = {
        Account(profile.namespace, DEFAULT): "pods beside the engines",
        Account(scratch.namespace, DEFAULT): "pods of another tenant",
    }
    for role, pods in (("engines", data_plane.engines()), ("proxies", data_plane.proxies())):
        found |= {Account.of(pod): role for pod in pods}
    evidence.record("accounts", {str(account): role for account, role in found.items()})
    return found


def test_no_such_account_may_change_what_is_not_its_own(
    profile: TargetProfile,
    cluster: Cluster,
    data_plane: DataPlane,
    access: Access,
    accounts: dict[Account, str],
    evidence: Evidence,
) -> None:
    namespaces = {KUBE_SYSTEM, profile.namespace, *data_plane.gateway_namespaces()}
    definitions = cluster.list("CustomResourceDefinition", api_version=DEFINITIONS)
    everywhere = [*of_no_namespace(), *of_operators(definitions, profile.namespace)]
    rights: dict[Account, list[Act]] = {}
    for account in accounts:
        foreign = sorted(namespaces - {account.namespace})
        acts = [*everywhere, *chain.from_iterable(map(within, foreign))]
        rights[account] = allowed(access, account, acts)
    evidence.record("custom_resources", len(definitions))
    evidence.record("allowed", {str(each): list(map(str, may)) for each, may in rights.items()})

    for account, may in rights.items():
        told = f"{account}, the account of {accounts[account]}"
        assert not may, f"{told}, may {may[0]}; {len(may)} such rights"
    # Negative control: a review that never says yes says nothing.
    group, resource = ROUTES
    ours = Act(verb="patch", group=group, resource=resource, namespace=profile.namespace)
    if not access.we_may(ours):
        raise HarnessError(f"these credentials may not {ours} either; use an operator's")


def allowed(access: Access, account: Account, acts: list[Act]) -> list[Act]:
    """Return which of them an account may do."""
    with ThreadPoolExecutor(REVIEWS_AT_ONCE) as pool:
        answers = list(pool.map(partial(access.may, account), acts))
    return [act for act, may in zip(acts, answers, strict=True) if may]
