"""How clients get to an engine: Services, InferencePools, HTTPRoutes, Gateways, addresses."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from hotfire.cluster import Document, selects
from hotfire.discovery.eyes import Eyes
from hotfire.discovery.workloads import Workload

GATEWAY_API: Final = "gateway.networking.k8s.io/v1"
POOL_API: Final = "inference.networking.k8s.io/v1"
_PORTS: Final = {"http": 80, "https": 443}
_API_PATHS: Final = ("/v1",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One URL by which clients may get to the engine, and what it goes by."""

    url: str
    where: str
    class_name: str = ""
    base_path: str = ""
    path_where: str = ""
    host: str = ""
    """Name that routes or listeners want; empty: any."""
    weights: tuple[int, ...] = ()
    """Weights of the backends of its rule, if there are several."""
    guessed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Everything that leads to an engine."""

    services: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    doors: tuple[Door, ...] = ()
    """The best first: those of a Gateway with an address, then those of a Service."""
    addressless: tuple[str, ...] = ()
    """Gateways that have no address."""
    routes: tuple[str, ...] = ()


def ways_to(eyes: Eyes, workload: Workload) -> Ways:
    """Return what leads to the pods of a workload."""
    labels, place = workload.pods[0].labels, workload.namespace
    services = [one for one in eyes.each("Service", place) if _takes(one, labels)]
    pools = [
        one
        for one in eyes.each("InferencePool", place, api_version=POOL_API)
        if selects((one.get("spec") or {}).get("selector"), labels)
    ]
    backends = {("Service", name) for name in _names(services)}
    backends |= {("InferencePool", name) for name in _names(pools)}
    doors: list[Door] = []
    addressless: list[str] = []
    routes: list[str] = []
    for route in eyes.each_near("HTTPRoute", place, api_version=GATEWAY_API):
        if not (rules := [rule for rule in _rules(route) if _leads(rule, route, place, backends)]):
            continue
        routes.append(_place(route))
        for gateway in _gateways(eyes, route):
            found = list(_doors(gateway, route, rules[0]))
            doors += found
            if not found:
                addressless.append(_place(gateway))
    return Ways(
        services=tuple(_names(services)),
        pools=tuple(_names(pools)),
        doors=(*doors, *_service_doors(services)),
        addressless=tuple(dict.fromkeys(addressless)),
        routes=tuple(routes),
    )


def idle_doors(eyes: Eyes) -> Iterator[Door]:
    """Yield the URLs of Gateways to which no engine's route leads, so far."""
    for gateway in eyes.each("Gateway", api_version=GATEWAY_API):
        for door in _doors(gateway, None, {}):
            yield replace(door, guessed=True)


def _takes(service: Document, labels: Mapping[str, str]) -> bool:
    selector = (service.get("spec") or {}).get("selector")
    return bool(selector) and selects({"matchLabels": selector}, labels)


def _names(documents: Iterable[Document]) -> list[str]:
    return [one["metadata"]["name"] for one in documents]


def _place(document: Document) -> str:
    return f"{document['metadata']['namespace']}/{document['metadata']['name']}"


def _rules(route: Document) -> list[dict[str, Any]]:
    return list((route.get("spec") or {}).get("rules") or ())


def _leads(
    rule: Mapping[str, Any], route: Document, namespace: str, backends: set[tuple[str, str]]
) -> bool:
    own = route["metadata"]["namespace"]
    return any(
        (one.get("kind", "Service"), one["name"]) in backends
        and one.get("namespace", own) == namespace
        for one in rule.get("backendRefs") or ()
    )


def _gateways(eyes: Eyes, route: Document) -> Iterator[Document]:
    for parent in (route.get("spec") or {}).get("parentRefs") or ():
        if parent.get("kind", "Gateway") == "Gateway":
            namespace = parent.get("namespace") or route["metadata"]["namespace"]
            found = eyes.get("Gateway", namespace, parent["name"], api_version=GATEWAY_API)
            if found is not None:
                yield found


def _doors(gateway: Document, route: Document | None, rule: Mapping[str, Any]) -> Iterator[Door]:
    """Yield the URL of each listener that speaks HTTP, on the first address."""
    spec, status = gateway.get("spec") or {}, gateway.get("status") or {}
    address = next((str(one["value"]) for one in status.get("addresses") or ()), None)
    if address is None:
        return
    path, path_where = _base_path(rule)
    by = f"HTTPRoute {_place(route)}" if route else "no route of an engine"
    hosts = list(((route or {}).get("spec") or {}).get("hostnames") or ())
    for listener in spec.get("listeners") or ():
        scheme = str(listener["protocol"]).lower()
        if scheme in _PORTS:
            host = next((one for one in (*hosts, listener.get("hostname")) if one), "")
            yield Door(
                url=_url(scheme, address, listener["port"]),
                where=f"status.addresses of Gateway {_place(gateway)}, listener"
                f" {listener['name']}; {by} leads there",
                class_name=str(spec.get("gatewayClassName") or ""),
                base_path=path,
                path_where=f"path of {by}{path_where}",
                host="" if host.startswith("*") else host,
                weights=tuple(one.get("weight", 1) for one in rule.get("backendRefs") or ()),
            )


def _base_path(rule: Mapping[str, Any]) -> tuple[str, str]:
    """Return what comes before the API's own paths in a rule's first match."""
    match: Mapping[str, Any] = next(iter(rule.get("matches") or ({},)))
    path = str((match.get("path") or {}).get("value") or "/")
    for known in _API_PATHS:
        if path.endswith(known) or f"{known}/" in path:
            return path[: path.rindex(known)], f" ({path})"
    return path.rstrip("/"), f" ({path})"


def _service_doors(services: Iterable[Document]) -> Iterator[Door]:
    """Yield the addresses of Services: of a load balancer, else inside the cluster."""
    for service in services:
        spec, status = service.get("spec") or {}, service.get("status") or {}
        ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
        outside = next((one.get("ip") or one.get("hostname") for one in ingress), None)
        address = outside or spec.get("clusterIP")
        ports = spec.get("ports") or ()
        if not address or address == "None" or not ports:
            continue
        place = "status.loadBalancer" if outside else "spec.clusterIP"
        yield Door(
            url=_url("http", str(address), ports[0]["port"]),
            where=f"{place} of Service {_place(service)}, past every Gateway",
            guessed=True,
        )


def _url(scheme: str, address: str, port: int) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{scheme}://{host}" + ("" if port == _PORTS[scheme] else f":{port}")
