"""Puts a simulated fleet into a cluster with kwok, and takes all of it away again."""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import urllib3
from kubernetes import client as k8s

from bench.simulated import ENGINE, MARK, NAMESPACE, Document, Fleet
from hotfire.cli.child import undisturbed
from hotfire.cluster import Cluster
from hotfire.cluster.kubeconfig import configuration
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.waiting import until

_AT_ONCE: Final = 8
_SECONDS: Final = 900.0
"""For anything here: a thousand objects a minute are little even for a small machine."""
_NAMESPACES: Final = "/api/v1/namespaces"
_HERE: Final = f"{_NAMESPACES}/{NAMESPACE}"
_NODES: Final = "/api/v1/nodes"
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_DEPLOYMENTS: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_BUDGETS: Final = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
_MARKED: Final = ",".join(f"{key}={value}" for key, value in MARK.items())
_DONE: Final = {"POST": HTTPStatus.CONFLICT, "DELETE": HTTPStatus.NOT_FOUND}
_NOW: Final = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}


class Door:
    """Requests as they are: what understands every object spends more on it than the server."""

    def __init__(self, profile: TargetProfile) -> None:
        api = k8s.ApiClient(configuration=configuration(profile))
        self._pool = api.rest_client.pool_manager
        self._host = api.configuration.host
        self._headers = {"Content-Type": "application/json"}
        api.update_params_for_auth(self._headers, [], ["BearerToken"])

    def ask(self, method: str, path: str, body: Document | None = None) -> None:
        """Make one request, again while the server is too busy for it.

        Raises:
            HarnessError: it is refused.
        """
        answer = self._pool.request(
            method,
            f"{self._host}{path}",
            body=json.dumps(body) if body else None,
            headers=self._headers,
            timeout=120.0,
            retries=urllib3.Retry(
                8, allowed_methods=None, status_forcelist=[429, 500, 503, 504], backoff_factor=0.5
            ),
        )
        # What an earlier try has done already is done.
        if answer.status >= 300 and answer.status != _DONE.get(method):
            raise HarnessError(f"{method} {path}: {answer.status} {answer.data[:300]!r}")

    def each(self, method: str, path: str, bodies: Iterable[Document]) -> None:
        """Make many requests, some of them side by side."""
        _side_by_side(lambda body: self.ask(method, path, body), bodies)


@contextmanager
def standing(profile: TargetProfile, nodes: int) -> Iterator[None]:
    """Have so many simulated nodes with their engines, all Ready, for the length of a block."""
    door, cluster, fleet = Door(profile), Cluster.connect(profile), Fleet(nodes)
    if cluster.get("Namespace", None, NAMESPACE) is not None:
        raise HarnessError(
            f"namespace {NAMESPACE} is there already; if a bench left it, remove it, and the nodes"
            f" with the label {_MARKED}"
        )
    try:
        _make(door, cluster, fleet)
        yield
    finally:
        with undisturbed():
            _remove(door, cluster, fleet)


def _make(door: Door, cluster: Cluster, fleet: Fleet) -> None:
    named = {"name": NAMESPACE, "labels": MARK}
    door.ask("POST", _NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": named})
    door.each("POST", _NODES, fleet.node_documents())
    _await(lambda: cluster.get("ServiceAccount", NAMESPACE, "default"), "the default account")
    door.each("POST", _DEPLOYMENTS, fleet.deployments())
    owners = _await(lambda: _replica_sets(cluster, fleet), "a ReplicaSet of each Deployment")
    owned = (_owned(pod, owners[model]) for model, pod in fleet.pods())
    door.each("POST", f"{_HERE}/pods", owned)
    _await(lambda: _ready(cluster, fleet), "every simulated node and engine Ready", every=3.0)
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": ENGINE}}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    door.ask("POST", _BUDGETS, {**budget, "metadata": {"name": "engines"}, "spec": spec})


def _replica_sets(cluster: Cluster, fleet: Fleet) -> dict[str, Document] | None:
    """Return each by its Deployment; None until all are there."""
    found = {
        one["metadata"]["labels"]["model"]: one
        for one in cluster.list("ReplicaSet", NAMESPACE, api_version="apps/v1")
    }
    return found if len(found) == sum(1 for _ in fleet.deployments()) else None


def _owned(pod: Document, owner: Document) -> Document:
    """Return a pod as its ReplicaSet would have made it."""
    metadata, given = pod["metadata"], owner["metadata"]
    reference = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": given["name"],
        "uid": given["uid"],
        "controller": True,
    }
    labels = metadata["labels"] | {"pod-template-hash": given["labels"]["pod-template-hash"]}
    return {**pod, "metadata": {**metadata, "labels": labels, "ownerReferences": [reference]}}


def _ready(cluster: Cluster, fleet: Fleet) -> bool:
    deployments = cluster.list("Deployment", NAMESPACE, api_version="apps/v1")
    engines = sum((one.get("status") or {}).get("readyReplicas", 0) for one in deployments)
    return engines == fleet.engines and sum(n.ready for n in cluster.nodes(MARK)) == fleet.nodes


def _remove(door: Door, cluster: Cluster, fleet: Fleet) -> None:
    # A namespace on its way out takes no new pods: what is removed is not made again.
    door.ask("DELETE", _HERE)
    _await(lambda: _emptied(door, cluster), "no simulated engine left", every=1.0)
    _await(lambda: _no_nodes(door, cluster), "no simulated node left", every=1.0)
    _side_by_side(lambda name: door.ask("DELETE", f"{_LEASES}/{name}"), fleet.names())
    _await(lambda: not _there(cluster), f"namespace {NAMESPACE} gone", every=1.0)


def _there(cluster: Cluster) -> bool:
    return cluster.get("Namespace", None, NAMESPACE) is not None


def _emptied(door: Door, cluster: Cluster) -> bool:
    door.ask("DELETE", f"{_HERE}/pods", _NOW)
    return next(cluster.each("Pod", NAMESPACE), None) is None


def _no_nodes(door: Door, cluster: Cluster) -> bool:
    door.ask("DELETE", f"{_NODES}?labelSelector={_MARKED}", _NOW)
    return next(cluster.each("Node", selector=_MARKED), None) is None


def _await(call: Callable[[], Any], what: str, *, every: float = 0.3) -> Any:  # noqa: ANN401
    return until(call, within_seconds=_SECONDS, what=what, poll_seconds=every)


def _side_by_side(call: Callable[[Any], None], some: Iterable[Any]) -> None:
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for _ in pool.map(call, some):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
