"""How clients get at the engines that are spared: by a Service, an InferencePool, or unseen."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hotfire.cluster import Cluster, Document, Pod, selects, serving_endpoints
from hotfire.errors import HarnessError

_POOL_VERSIONS: Final = (
    "inference.networking.k8s.io/v1",
    "inference.networking.x-k8s.io/v1alpha2",
)
_SERVICE_NAME: Final = "kubernetes.io/service-name"


def shown_reachable(cluster: Cluster, spared: Sequence[Pod], engines: Sequence[Pod]) -> str:
    """Return how the spared pods are reached, in words.

    A Service reaches those that its EndpointSlices call ready, an InferencePool those it selects.
    Where neither leads to any of the engines, the platform finds them in a way of its own, and
    there is nothing to show: their readiness must do.

    Args:
        cluster: Their cluster.
        spared: Ready pods of one namespace, which a fault leaves alone; at least one.
        engines: All engine pods, those that will be hit among them.

    Raises:
        HarnessError: something leads to engines, but not to all of the spared ones.
    """
    namespace = spared[0].namespace
    slices = cluster.list("EndpointSlice", namespace, api_version="discovery.k8s.io/v1")
    served = {one.pod_uid for one in serving_endpoints(slices) if one.ready}
    left = [pod for pod in spared if pod.uid not in served]
    if not left:
        return "behind a Service"
    pools = _pools(cluster, namespace)
    unpooled = [pod for pod in left if not any(selects(s, pod.labels) for s in pools.values())]
    if not unpooled:
        return f"in {', '.join(pools)}"
    doors = [*_chosen(pools, engines), *_services(cluster, namespace, slices, engines)]
    if doors:
        names = ", ".join(f"{pod.namespace}/{pod.name}" for pod in unpooled)
        raise HarnessError(
            f"survivors behind no Service and in no InferencePool: {names}; engines are reached by"
            f" {', '.join(dict.fromkeys(doors))}"
        )
    return "Ready; no Service and no InferencePool of their namespace leads to any engine"


def _pools(cluster: Cluster, namespace: str) -> dict[str, Mapping[str, Any] | None]:
    """Return the selector of each InferencePool; before v1 it was a plain map of labels."""
    found: dict[str, Mapping[str, Any] | None] = {}
    for version in _POOL_VERSIONS:
        if not cluster.serves("InferencePool", version):
            continue
        for pool in cluster.list("InferencePool", namespace, api_version=version):
            selector = (pool.get("spec") or {}).get("selector")
            plain = version != _POOL_VERSIONS[0] and selector is not None
            name = f"InferencePool {pool['metadata']['name']}"
            found[name] = {"matchLabels": selector} if plain else selector
    return found


def _chosen(
    selectors: Mapping[str, Mapping[str, Any] | None], engines: Sequence[Pod]
) -> Iterator[str]:
    """Yield the names of the selectors that take any engine."""
    for name, selector in selectors.items():
        if any(selects(selector, pod.labels) for pod in engines):
            yield name


def _services(
    cluster: Cluster, namespace: str, slices: Sequence[Document], engines: Sequence[Pod]
) -> Iterator[str]:
    """Yield the Services that lead to engines, or whose slices are there without them."""
    uids = {pod.uid for pod in engines}
    services = {one["metadata"]["name"]: one for one in cluster.list("Service", namespace)}
    labels = {name: (one.get("spec") or {}).get("selector") for name, one in services.items()}
    # A Service without a selector selects nothing by itself; somebody writes its slices.
    selectors = {f"Service {n}": {"matchLabels": row} for n, row in labels.items() if row}
    yield from _chosen(selectors, engines)
    for one in slices:
        service = (one["metadata"].get("labels") or {}).get(_SERVICE_NAME, "")
        orphan = bool(service) and service not in services
        if orphan or any(end.pod_uid in uids for end in serving_endpoints([one])):
            yield f"Service {service}" if service else f"EndpointSlice {one['metadata']['name']}"
