"""The janitor as the runner sees it: deployed before a fault whose undo lives in the cluster.

It reads in its own namespace, by a Role. Beside that it holds exactly the verbs that the armed
undos need. A ClusterRole bears them, narrowed to the objects by name: a Role would have to be put
into namespaces that are not ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hotfire.agent.janitor import ALIVE
from hotfire.chaos import agent_pods, holders
from hotfire.chaos.agent_pods import CODE_PATH, code_digest, code_volume, mounted_code
from hotfire.chaos.plan import World
from hotfire.cluster import RUN_LABEL, UNDO_LABEL, Cluster, Document, Estate
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.waiting import until

NAME: Final = "hotfire-janitor"
_LABELS: Final = {"app.kubernetes.io/name": NAME}
_RBAC: Final = "rbac.authorization.k8s.io"
_FRESH_SECONDS: Final = 30
Rule = Mapping[str, Sequence[str]]


def ensure(world: World, estate: Estate, *, run_id: str, rules: Iterable[Rule]) -> None:
    """Have a janitor that may do what these rules say, and that looks.

    Raises:
        HarnessError: it does not get ready; then no such fault may be fired.
    """
    profile = world.profile
    for document in bound(profile, list(rules)):
        estate.create(document)
    world.cluster.apply(
        [agent_pods.code(profile, run_id=run_id), *manifests(profile, run_id=run_id)]
    )
    until(
        lambda: is_live(world.cluster, profile.system_namespace),
        within_seconds=profile.waits.agent_seconds,
        what=f"a live janitor ({profile.system_namespace}/{NAME})",
        poll_seconds=0.5,
        excused_seconds=world.cluster.silent_seconds,
    )


def require_live(world: World) -> None:
    """Make sure that somebody will undo it if we die.

    Raises:
        HarnessError: the janitor is not there or cannot look; nothing was fired.
    """
    if not is_live(world.cluster, world.profile.system_namespace):
        raise HarnessError("no live janitor would undo this fault if we died; nothing was fired")


def is_live(cluster: Cluster, namespace: str) -> bool:
    """Return whether a janitor looked at the Lease lately: its pod is Ready by that."""
    found = cluster.get("Deployment", namespace, NAME, api_version="apps/v1")
    status = (found or {}).get("status") or {}
    wanted = ((found or {}).get("metadata") or {}).get("generation", 0)
    ready = status.get("updatedReplicas", 0) == status.get("readyReplicas", 0) == 1
    return bool(ready and status.get("observedGeneration", -1) >= wanted)


def remove(cluster: Cluster, namespace: str) -> None:
    """Remove the janitor; what it may do goes by the record of what was made.

    Its code goes with it, unless agents are there, which run the same.
    """
    rbac = f"{_RBAC}/v1"
    things = [("Deployment", NAME, "apps/v1"), ("ServiceAccount", NAME, "v1")]
    things += [("RoleBinding", NAME, rbac), ("Role", NAME, rbac)]
    agents = cluster.get("DaemonSet", namespace, agent_pods.NAME, api_version="apps/v1")
    things += [] if agents else [("ConfigMap", agent_pods.NAME, "v1")]
    for kind, name, version in things:
        found = cluster.get(kind, namespace, name, api_version=version)
        if found is not None and cluster.owns(found):
            uid = found["metadata"]["uid"]
            cluster.delete(kind, namespace, name, uid=uid, api_version=version)


def bound(profile: TargetProfile, rules: Sequence[Rule]) -> list[Document]:
    """Return what the janitor may do outside of its namespace, and that it is he who may."""
    name = f"{profile.system_namespace}-janitor"
    role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name}
    head: dict[str, Any] = {"apiVersion": f"{_RBAC}/v1", "metadata": {"name": name}}
    return [
        {**head, "kind": "ClusterRole", "rules": [dict(rule) for rule in rules]},
        {**head, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [_subject(profile)]},
    ]


def _subject(profile: TargetProfile) -> Document:
    return {"kind": "ServiceAccount", "name": NAME, "namespace": profile.system_namespace}


def manifests(profile: TargetProfile, *, run_id: str) -> list[Document]:
    """Return its account, what that may read, and its Deployment."""
    labels = _LABELS | {RUN_LABEL: run_id}
    place = {"name": NAME, "namespace": profile.system_namespace, "labels": labels}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": _LABELS},
        "template": {"metadata": {"labels": _LABELS}, "spec": _pod_spec(profile)},
    }
    rbac: dict[str, Any] = {"apiVersion": f"{_RBAC}/v1", "metadata": place}
    role = {"apiGroup": _RBAC, "kind": "Role", "name": NAME}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place},
        {**rbac, "kind": "Role", "rules": [dict(rule) for rule in reading()]},
        {**rbac, "kind": "RoleBinding", "roleRef": role, "subjects": [_subject(profile)]},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": place, "spec": spec},
    ]


def reading() -> list[Rule]:
    return [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [holders.NAME],
            "verbs": ["get"],
        },
    ]


def _pod_spec(profile: TargetProfile) -> Document:
    age = f"time.time()-os.stat('{ALIVE}').st_mtime"
    fresh = f"import os,sys,time; sys.exit({age}>{_FRESH_SECONDS})"
    amounts = {"cpu": "100m", "memory": "64Mi"}
    return {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "tolerations": list(profile.agent.tolerations),
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": "janitor",
                "image": profile.images.python,
                "command": [
                    *("python3", "-m", "hotfire.agent.janitor"),
                    *(profile.system_namespace, holders.NAME, UNDO_LABEL),
                ],
                "env": [
                    {"name": "PYTHONPATH", "value": CODE_PATH},
                    {"name": "PYTHONUNBUFFERED", "value": "1"},
                    # A new pod when its code is another one.
                    {"name": "HOTFIRE_CODE", "value": code_digest()},
                ],
                "readinessProbe": {
                    "exec": {"command": ["python3", "-c", fresh]},
                    "periodSeconds": 3,
                    "timeoutSeconds": 10,
                },
                "resources": {"requests": amounts, "limits": amounts},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": False,
                },
                "volumeMounts": [mounted_code()],
            }
        ],
        "volumes": [code_volume()],
    }
