"""A webhook whose certificate ends tomorrow; it has not ended, and the webhook does its work.

It is asked of what nobody makes, and who is not asked cannot refuse.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fixtures.certificates import NAME, PORT, SHORT_LIVED
from hotfire.cluster import Document
from hotfire.waiting import until
from tests.world import World

API, KIND, HOOK = "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "old.test"


@contextmanager
def broken(world: World) -> Iterator[None]:
    namespace, cluster = world.profile.namespace, world.cluster
    try:
        cluster.apply([_server(world), _service(), _webhook(namespace)], namespace=namespace)
        until(
            lambda: any(one.ready for one in cluster.endpoints(namespace, NAME)),
            within_seconds=60,
            what=f"{NAME} Ready",
        )
        yield
    finally:
        cluster.delete(KIND, None, HOOK, api_version=API)
        cluster.delete("Service", namespace, NAME)
        cluster.delete("Pod", namespace, NAME, grace_seconds=1)


def _server(world: World) -> Document:
    container = {
        "name": "server",
        "image": world.profile.images.python,
        "command": ["python3", "-c", SHORT_LIVED],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "tolerations": [{"operator": "Exists"}]}
    metadata = {"name": NAME, "labels": {"app": NAME}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _service() -> Document:
    spec = {"selector": {"app": NAME}, "ports": [{"port": 443, "targetPort": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}


def _webhook(namespace: str) -> Document:
    rule = {
        "apiGroups": ["old.hotfire.test"],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["*"],
    }
    webhook = {
        "name": "old.hotfire.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "rules": [rule],
        "clientConfig": {"service": {"namespace": namespace, "name": NAME}},
    }
    return {"apiVersion": API, "kind": KIND, "metadata": {"name": HOOK}, "webhooks": [webhook]}
