"""Every account of the engines' namespace may change its routes: as members of a group.

No binding names an account, and no engine has its token mounted.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.world import World

API = "rbac.authorization.k8s.io/v1"
NAME = "route-editors"


@contextmanager
def broken(world: World) -> Iterator[None]:
    namespace, group = world.profile.namespace, "rbac.authorization.k8s.io"
    rule = {
        "apiGroups": ["gateway.networking.k8s.io"],
        "resources": ["httproutes"],
        "verbs": ["get", "patch"],
    }
    role = {"apiVersion": API, "kind": "Role", "metadata": {"name": NAME}, "rules": [rule]}
    members = f"system:serviceaccounts:{namespace}"
    binding = {
        "apiVersion": API,
        "kind": "RoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": members}],
    }
    world.cluster.apply([role, binding], namespace=namespace)
    try:
        yield
    finally:
        for kind in ("RoleBinding", "Role"):
            world.cluster.delete(kind, namespace, NAME, api_version=API)
