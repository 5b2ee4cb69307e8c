"""Which pods play which part beside the engine: prefill, decode, router, picker, canary."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from hotfire.cluster import Document, selects
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.parts import Running
from hotfire.discovery.routes import GATEWAY_API, POOL_API
from hotfire.discovery.said import Said, guess
from hotfire.discovery.workloads import Workload
from hotfire.pod_roles import PodRole

Selector = dict[str, str]
_STAGES: Final[Mapping[PodRole, tuple[tuple[str, str], ...]]] = {
    "prefill": (
        ("llm-d.ai/role", "prefill"),
        ("nvidia.com/dynamo-component", "VllmPrefillWorker"),
    ),
    "decode": (("llm-d.ai/role", "decode"), ("nvidia.com/dynamo-component", "VllmDecodeWorker")),
}
"""Labels of pods with accelerators that do one half of the work."""
_ROUTERS: Final = (
    ("environment", "router"),
    ("nvidia.com/dynamo-component-type", "frontend"),
)
"""Labels of what hands requests on to engines by its own choice."""


def roles_of(
    eyes: Eyes, engine: Workload, holders: Iterable[Workload], running: Iterable[Running]
) -> dict[PodRole, Said[Selector]]:
    """Return the selector of each role that is seen in the engine's namespace."""
    near = [one for one in holders if one.namespace == engine.namespace]
    found = dict(_stages(near))
    if router := _router([one for one in running if one.namespace == engine.namespace]):
        found["router"] = router
    services = {one["metadata"]["name"]: one for one in eyes.each("Service", engine.namespace)}
    labels = engine.pods[0].labels
    pools = eyes.each("InferencePool", engine.namespace, api_version=POOL_API)
    if picker := _picker(pools, services, labels):
        found["picker"] = picker
    routes = eyes.each("HTTPRoute", engine.namespace, api_version=GATEWAY_API)
    if canary := _canary(routes, services, labels):
        found["canary"] = canary
    return found


def _stages(near: list[Workload]) -> Iterator[tuple[PodRole, Said[Selector]]]:
    for role, marks in _STAGES.items():
        for workload in near:
            labels = workload.pods[0].labels
            mark = next((one for one in marks if labels.get(one[0]) == one[1]), None)
            if mark:
                selector = workload.selector.value | dict([mark])
                yield role, Said(selector, f"label {mark[0]} of the pods of {workload}")
                break


def _router(near: list[Running]) -> Said[Selector] | None:
    for one in near:
        if any(one.labels.get(key) == value for key, value in _ROUTERS):
            return guess(dict(one.labels), f"labels of {one}")
    return None


def _picker(
    pools: Iterable[Document], services: Mapping[str, Document], labels: Mapping[str, str]
) -> Said[Selector] | None:
    for pool in pools:
        spec = pool.get("spec") or {}
        name = (spec.get("endpointPickerRef") or {}).get("name", "")
        if selects(spec.get("selector"), labels) and (selector := _selector(services.get(name))):
            place = f"endpointPickerRef of InferencePool {pool['metadata']['name']}"
            return Said(selector, f"selector of Service {name}, {place}")
    return None


def _canary(
    routes: Iterable[Document], services: Mapping[str, Document], labels: Mapping[str, str]
) -> Said[Selector] | None:
    """Return what gets the smaller share where the engine gets the larger one."""
    for route in routes:
        for rule in (route.get("spec") or {}).get("rules") or ():
            weights = {one["name"]: one.get("weight", 1) for one in rule.get("backendRefs") or ()}
            selectors = {name: _selector(services.get(name)) for name in weights}
            engines = [
                name for name, one in selectors.items() if one and one.items() <= labels.items()
            ]
            others = [name for name, one in selectors.items() if one and name not in engines]
            if engines and others:
                least = min(others, key=lambda name: weights[name])
                place = f"weight {weights[least]} of HTTPRoute {route['metadata']['name']}"
                return Said(selectors[least], f"selector of Service {least}, {place}")
    return None


def _selector(service: Document | None) -> Selector:
    return dict(((service or {}).get("spec") or {}).get("selector") or {})
