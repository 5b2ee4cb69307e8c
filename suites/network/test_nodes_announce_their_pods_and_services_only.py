"""Each node announces its pod network and the service network by BGP, and nothing undeclared.

A network that is not announced is a node whose pods nobody reaches; one that is announced by
mistake, a default route above all, draws the traffic of everybody into a node that drops it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from fixtures.datagrams import ANSWERED, Datagrams
from fixtures.fabric import Fabric
from fixtures.service_networks import Network, networks, service_networks
from hotfire import Evidence, Level, requirement
from hotfire.chaos.fabric import BgpSession, SessionRoutes
from hotfire.cluster import Cluster, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "NET-003",
    Level.MUST,
    __doc__,
    source="https://datatracker.ietf.org/doc/html/rfc7454#section-6",
    features={"redundant-uplinks"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a node is to announce, and what else it may."""

    due: frozenset[Network]
    besides: frozenset[Network]


def service_addresses(cluster: Cluster) -> frozenset[Network]:
    """Return the addresses of Services that lie outside of their network."""
    found: list[str] = []
    for one in cluster.list("Service"):
        balancer = (one.get("status") or {}).get("loadBalancer") or {}
        found += [each["ip"] for each in balancer.get("ingress") or () if each.get("ip")]
        found += one["spec"].get("externalIPs") or []
    return networks(found)


def declared(cluster: Cluster, node: Node) -> Declared:
    document = cluster.get("Node", None, node.name) or {}
    pods = (document.get("spec") or {}).get("podCIDRs") or []
    if not pods:
        raise HarnessError(f"{node.name} has no spec.podCIDRs: what it is to announce is not known")
    own = [each["address"] for each in document["status"]["addresses"] if "IP" in each["type"]]
    besides = networks(own) | service_addresses(cluster)
    return Declared(due=networks(pods) | service_networks(cluster), besides=besides)


def differences(declared: Declared, announced: Iterable[str]) -> list[str]:
    """Return in words what is not announced though due, and what is without being declared.

    A part of a declared network may be announced for itself.
    """
    seen = networks(announced)
    allowed = declared.due | declared.besides
    families = {one.version for one in seen}
    missing = [one for one in declared.due - seen if one.version in families or not seen]
    undeclared = [one for one in seen if not any(within(one, each) for each in allowed)]
    words = [f"{one} is missing" for one in sorted(map(str, missing))]
    return words + [f"{one} is not declared" for one in sorted(map(str, undeclared))]


def within(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.subnet_of(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.subnet_of(other)


def read(fabric: Fabric, node: Node) -> list[tuple[BgpSession, SessionRoutes]]:
    """Return what goes over each session of a node's uplinks."""
    found = [
        (session, fabric.routes(node, session))
        for session in fabric.sessions(node)
        if session.established and session.link in fabric.uplinks
    ]
    assert found, f"{node.name} has no established BGP session on {fabric.uplinks}"
    return found


def test_every_session_announces_what_is_declared(
    cluster: Cluster, fabric: Fabric, evidence: Evidence
) -> None:
    fabric.await_sessions()
    wanted = {node.name: declared(cluster, node) for node in fabric.nodes}
    told = {
        node.name: {session.name: list(routes.announced) for session, routes in read(fabric, node)}
        for node in fabric.nodes
    }
    evidence.record("announced", told)
    evidence.record("due", {name: sorted(map(str, one.due)) for name, one in wanted.items()})

    for name, sessions in told.items():
        for session, announced in sessions.items():
            wrong = differences(wanted[name], announced)
            assert not wrong, f"{name}, {session}: {'; '.join(wrong)}"
    # Negative control: what one node announces would be wrong for another.
    first, second, *_ = told
    for announced in told[second].values():
        words = differences(wanted[first], announced)
        if {word.partition(" ")[2] for word in words} != {"is missing", "is not declared"}:
            raise HarnessError(f"what {second} announces passes for {first}: {words}")


def test_routers_pass_on_what_is_declared(
    cluster: Cluster, fabric: Fabric, evidence: Evidence
) -> None:
    fabric.await_sessions()
    readings = {node.name: read(fabric, node) for node in fabric.nodes}
    systems = {name: rows[0][0].own_as for name, rows in readings.items()}
    if len(set(systems.values())) < len(systems):
        raise HarnessError(f"nodes share an autonomous system: whose routes are whose? {systems}")
    services = service_networks(cluster)
    passed_on: dict[str, list[str]] = {}
    for node in fabric.nodes:
        wanted = declared(cluster, node)
        # The service network comes from every node; of equal routes a router passes on one.
        pods = Declared(due=wanted.due - services, besides=wanted.besides | services)
        for place, heard in heard_of(systems[node.name], readings).items():
            if not place.startswith(f"{node.name} "):
                passed_on[f"{node.name} at {place}"] = heard
                wrong = differences(pods, heard)
                assert not wrong, f"{node.name} as {place} hears of it: {'; '.join(wrong)}"
    evidence.record("passed_on", passed_on)


def heard_of(
    system: int, readings: Mapping[str, list[tuple[BgpSession, SessionRoutes]]]
) -> dict[str, list[str]]:
    """Return, by node and session, which prefixes are heard that began in a system."""
    return {
        f"{name} {session.name}": [r.prefix for r in routes.heard if r.origin_as == system]
        for name, rows in readings.items()
        for session, routes in rows
    }


def test_unused_service_address_does_not_loop(
    cluster: Cluster, fabric: Fabric, datagrams: Datagrams, evidence: Evidence
) -> None:
    one, other, *_ = (node.name for node in fabric.nodes)
    address = datagrams.start({"asks": one, "far": other})["far"]
    unused = unused_address(cluster)
    [outcome] = datagrams.ask("asks", to=unused)
    [expired] = datagrams.ask("asks", to=address, hops=1)
    evidence.record("unused_address", unused)
    evidence.record("outcome", str(outcome))
    evidence.record("of_too_few_hops", str(expired))

    assert not outcome.expired, f"a packet to {unused} goes in circles, {outcome.by} says"
    assert outcome.word != ANSWERED, f"{unused} belongs to no Service, and answers"
    # Negative control: a packet that runs out of hops is noticed.
    if not expired.expired:
        raise HarnessError(f"with one hop to {address}, expected time exceeded, saw {expired}")


def unused_address(cluster: Cluster) -> str:
    """Return the highest IPv4 service address that no Service has."""
    used = {each for one in cluster.list("Service") for each in one["spec"].get("clusterIPs") or ()}
    for network in service_networks(cluster):
        if isinstance(network, IPv4Network):
            last = int(network.broadcast_address) - 1
            for number in range(last, int(network.network_address), -1):
                if (address := str(network[number - int(network.network_address)])) not in used:
                    return address
    raise HarnessError("no IPv4 service address is unused")
