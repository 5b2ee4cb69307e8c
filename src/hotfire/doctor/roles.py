"""The smallest Roles for what a run needs, as ``kubectl apply`` takes them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from hotfire.cluster import Document
from hotfire.doctor.asked import Need
from hotfire.doctor.place import Where
from hotfire.profile import TargetProfile
from hotfire.reference import in_cluster, names_in

NAME: Final = "hotfire"
NAMESPACE: Final = "hotfire-runner"
"""Where the account is that the Roles are for."""
_API: Final = "rbac.authorization.k8s.io"
_OF_NO_NAMESPACE: Final = frozenset(
    {"namespaces", "nodes", "persistentvolumes", "priorityclasses", "clusterroles"}
    | {"clusterrolebindings", "customresourcedefinitions", "gatewayclasses", "deviceclasses"}
    | {"resourceslices", "servicecidrs", "subjectaccessreviews", "storageclasses"}
    | {"mutatingadmissionpolicies", "mutatingadmissionpolicybindings"}
    | {"clusterqueues", "resourceflavors", "topologies"}
)


def everywhere(needs: Iterable[Need]) -> set[Need]:
    """Return what must hold in the whole cluster: a Role cannot give it, or not beforehand."""
    return {
        Need(one.group, one.resource, one.verb)
        for one in needs
        if one.where is Where.ANYWHERE or one.resource in _OF_NO_NAMESPACE
    }


def inside(needs: Iterable[Need], profile: TargetProfile, namespace: str) -> set[Need]:
    """Return what must hold in one of the target's namespaces, beside what holds everywhere."""
    some = set(needs)
    own = {Where.PLATFORM, Where.ALLOWED} if namespace == profile.namespace else {Where.ALLOWED}
    local = {Need(one.group, one.resource, one.verb) for one in some if one.where in own}
    return local - everywhere(some)


def roles(needs: Iterable[Need], profile: TargetProfile) -> list[Document]:
    """Return an account, and what it must be allowed; nothing in it is a wildcard."""
    some = set(needs)
    place = {"name": NAME, "namespace": NAMESPACE}
    documents: list[Document] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place},
        *_bound("", rules_of(everywhere(some))),
    ]
    for namespace in dict.fromkeys((profile.namespace, *profile.allowed_namespaces)):
        if rules := rules_of(inside(some, profile, namespace)):
            documents += _bound(namespace, rules)
    for namespace, name in _secrets(profile):
        documents += _bound(namespace, [_of_secret(name)], name=f"{NAME}-reads-{name}")
    return documents


def _secrets(profile: TargetProfile) -> list[tuple[str, str]]:
    """Return namespace and name of each Secret that the target file names, once."""
    shown = [profile.gateway.shown_headers, *profile.clients.headers]
    shown += [one.shown_headers for one in profile.rag.gateways] if profile.rag else []
    if profile.jobs and profile.jobs.gateway:
        shown.append(profile.jobs.gateway.shown_headers)
    named = (in_cluster(one) for headers in shown for one in names_in(headers.values()))
    return list(dict.fromkeys(each[:2] for each in named if each))


def rules_of(needs: Iterable[Need]) -> list[Document]:
    """Return rules; resources of a group that need the same verbs share one."""
    verbs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in needs:
        verbs[one.group, one.resource].add(one.verb)
    alike: dict[tuple[str, bool, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), some in sorted(verbs.items()):
        alike[group, resource.startswith("/"), tuple(sorted(some))].append(resource)
    return [
        {"nonResourceURLs": resources, "verbs": list(some)}
        if pages
        else {"apiGroups": [group], "resources": resources, "verbs": list(some)}
        for (group, pages, some), resources in sorted(alike.items())
    ]


def _of_secret(name: str) -> Document:
    return {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}


def _bound(namespace: str, rules: list[Document], *, name: str = NAME) -> list[Document]:
    """Return a role and its binding; without a namespace, of the whole cluster."""
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    reference = {"apiGroup": _API, "kind": kind, "name": name}
    head = {"apiVersion": f"{_API}/v1", "metadata": metadata}
    return [
        {**head, "kind": kind, "rules": rules},
        {**head, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject]},
    ]
