"""What Services and EndpointSlices say, and who gets and who announces which address. Pure."""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any, NamedTuple

from hotfire.lab.programs.network_policy.watch import Object

SERVICE_LABEL = "kubernetes.io/service-name"


class Grant(NamedTuple):
    """An address for a Service that has none yet."""

    service: Object
    address: str


def assign(services: Iterable[Object], pool: IPv4Network) -> list[Grant]:
    """Return the addresses to give now: oldest Service first, lowest free address first.

    A Service that asks for an address that is taken, or none of the pool's, gets none; so do all
    when the pool is used up.
    """
    ours = sorted(filter(_wants_one_of_ours, services), key=_age)
    taken = {address for service in ours for address in addresses(service, pool)}
    grants: list[Grant] = []
    for service in ours:
        if _ingress(service):
            continue
        address = _free(pool, taken, service["spec"].get("loadBalancerIP", ""))
        if address:
            taken.add(address)
            grants.append(Grant(service, address))
    return grants


def announced(
    node: str, services: Iterable[Object], slices: Iterable[Object], pool: IPv4Network
) -> list[str]:
    """Return the addresses that a node announces.

    Those of Services that somebody serves: any node where Service traffic may take a second hop,
    only nodes with a pod of their own where it may not (``externalTrafficPolicy: Local``).
    """
    serving = _serving_nodes(slices)
    found: set[str] = set()
    for service in services:
        nodes = serving.get(_key(service["metadata"]), set())
        if node in nodes or (nodes and not _is_local(service)):
            found.update(addresses(service, pool))
    return sorted(found, key=IPv4Address)


def addresses(service: Object, pool: IPv4Network) -> list[str]:
    """Return the addresses of the pool that a Service has."""
    found = [row.get("ip", "") for row in _ingress(service)]
    return [address for address in found if _of_pool(address, pool)]


def _wants_one_of_ours(service: Object) -> bool:
    spec = service["spec"]
    # A class of its own means another controller.
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def _age(service: Object) -> tuple[str, str]:
    metadata = service["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["uid"]


def _ingress(service: Object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("status", {}).get("loadBalancer", {}).get("ingress")
    return found or []


def _free(pool: IPv4Network, taken: set[str], asked: str) -> str | None:
    if asked:
        return asked if _of_pool(asked, pool) and asked not in taken else None
    return next((each for each in map(str, pool.hosts()) if each not in taken), None)


def _of_pool(address: str, pool: IPv4Network) -> bool:
    try:
        return IPv4Address(address) in pool
    except AddressValueError:
        return False


def _is_local(service: Object) -> bool:
    return bool(service["spec"].get("externalTrafficPolicy") == "Local")


def _serving_nodes(slices: Iterable[Object]) -> dict[tuple[str, str], set[str]]:
    """Return the nodes with a serving endpoint, by the Service's namespace and name."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in slices:
        metadata = each["metadata"]
        service = metadata.get("labels", {}).get(SERVICE_LABEL, "")
        nodes = {row.get("nodeName") or "" for row in each.get("endpoints") or [] if _serves(row)}
        found.setdefault((metadata["namespace"], service), set()).update(nodes)
    return found


def _serves(endpoint: Object) -> bool:
    conditions = endpoint.get("conditions", {})
    # Not said is ready; one that ends still serves what it has, and kube-proxy goes on sending.
    return conditions.get("ready") is not False or conditions.get("serving") is True


def _key(metadata: Object) -> tuple[str, str]:
    return metadata["namespace"], metadata["name"]
