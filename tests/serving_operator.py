"""The scripted stack with the reference operator beside it, as ``overlays/operator`` says."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from fixtures.engine_groups import Groups
from hotfire.cluster import Document
from hotfire.errors import ClusterError
from hotfire.lab.machine.pki import Authority
from hotfire.waiting import until
from tests import overlays
from tests.overlays import Change, added, as_it_is, kind_and_name
from tests.world import World

OPERATOR, WEBHOOK = "model-serving", "shape-webhook"
rewritten = partial(overlays.rewritten, "model_serving.py")
"""Returns what makes the operator another program."""


@contextmanager
def operated(
    world: World,
    change: Change = as_it_is,
    **says: Any,  # noqa: ANN401 - fields of the target file
) -> Iterator[None]:
    """Have the operator, and a target file that says so; ``change`` that of each object before."""
    place = {"namespace": world.profile.namespace, "name": OPERATOR}
    documents = added(world, "operator")
    for document in documents:
        change(document)
    secret = _with_certificate(documents, f"{WEBHOOK}.{world.profile.namespace}.svc")
    try:
        world.cluster.apply([secret, *documents], namespace=world.profile.namespace)
        _wait_at_work(world)
        with world.target_says(components={"operator": place}, **says):
            yield
    finally:
        _remove(world, [secret, *documents])


def _with_certificate(documents: list[Document], name: str) -> Document:
    """Let the API server trust a certificate that is made now; return the Secret that has it."""
    authority = Authority()
    pair = authority.issue(name, addresses=(name,))
    [configuration] = [one for one in documents if one["kind"] == "ValidatingWebhookConfiguration"]
    configuration["webhooks"][0]["clientConfig"]["caBundle"] = _encoded(authority.certificate)
    files = {"tls.crt": _encoded(pair.certificate), "tls.key": _encoded(pair.key)}
    metadata = {"name": f"{WEBHOOK}-tls"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": files}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _pods(world: World) -> list[bool]:
    """Return of each pod of theirs whether it serves."""
    namespace, names = world.profile.namespace, (OPERATOR, WEBHOOK)
    found = [world.cluster.pods(namespace, {"app": name}) for name in names]
    return [pod.serving for pods in found for pod in pods]


def _wait_at_work(world: World) -> None:
    """Wait until the operator runs, and until a resource without sense is denied."""
    groups = Groups(cluster=world.cluster, profile=world.profile, namespace=world.profile.namespace)

    def denies() -> bool:
        with suppress(ClusterError):
            return not groups.would_admit(tensor_parallel_size=7).accepted
        return False

    until(lambda: _pods(world) == [True, True], within_seconds=120, what="the operator Ready")
    until(denies, within_seconds=60, what="the operator's webhook at work")


def _remove(world: World, documents: list[Document]) -> None:
    namespace = world.profile.namespace
    # The webhook's configuration first: without its pods nothing of the kind could be changed.
    for one in sorted(documents, key=lambda one: one["kind"] != "ValidatingWebhookConfiguration"):
        kind, name = kind_and_name(one)
        world.cluster.delete(kind, namespace, name, api_version=one["apiVersion"])
    # A definition on its way out takes what it defines along; nothing may be made on top of it.
    until(
        lambda: not _pods(world) and not any(_is_there(world, one) for one in documents),
        within_seconds=60,
        what="the operator gone",
    )


def _is_there(world: World, document: Document) -> bool:
    kind, name = kind_and_name(document)
    version, namespace = document["apiVersion"], world.profile.namespace
    return world.cluster.get(kind, namespace, name, api_version=version) is not None
