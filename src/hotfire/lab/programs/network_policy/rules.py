"""What one node must enforce: policies, pods and namespaces in, an nftables table out."""

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .objects import (
    PROTOCOLS,
    Block,
    Labels,
    Name,
    Pod,
    Pods,
    Policy,
    Ports,
    Rule,
    selects,
)
from .ruleset import Ruleset, Set

_LONGEST_NAME = 100


class ClusterState(NamedTuple):
    """All that is known of the cluster; ``namespaces`` are labels by name."""

    pods: Mapping[Name, Pod]
    namespaces: Mapping[str, Labels]
    policies: Mapping[Name, Policy]


class _Drawing:
    """A table in the making."""

    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self.counters: set[str] = set()
        self.sets: dict[str, Set] = {}
        self.chains: dict[str, tuple[str, ...]] = {}

    def chain(self, direction: str, rules: tuple[str, ...]) -> str:
        """Return the chain with these rules; pods that are treated alike share it."""
        name = f"{direction}_{_digest(rules)}"
        self.chains[name] = rules
        return name

    def counter(self, verdict: str, policy: Policy, direction: str) -> str:
        name = f"{verdict}/{direction}/{policy.name.namespace}/{policy.name.name}"
        if len(name) > _LONGEST_NAME:
            name = f"{name[:_LONGEST_NAME]}.{_digest(name)}"
        self.counters.add(name)
        return f"counter name {name}"

    def addresses(self, peer: Pods) -> str:
        """Return the set with the addresses of the pods a peer stands for."""
        name = f"pods_{_digest(peer)}"
        if name not in self.sets:
            found = (a for pod in self.pods_of(peer) for a in pod.addresses)
            self.sets[name] = Set("ipv4_addr", frozenset(found))
        return name

    def named_ports(self, peer: Block | Pods | None, entry: Ports) -> str:
        """Return the set with each peer's address and what its port of that name is."""
        name = f"ports_{_digest((peer, entry))}"
        elements = (
            f"{address} . {PROTOCOLS[entry.protocol]} . {number}"
            for pod in self.pods_of(peer)
            for address in pod.addresses
            if not isinstance(peer, Block) or _within(address, peer)
            for number in _numbers(pod, entry)
        )
        kind = "ipv4_addr . inet_proto . inet_service"
        self.sets.setdefault(name, Set(kind, frozenset(elements)))
        return name

    def pods_of(self, peer: Block | Pods | None) -> Iterator[Pod]:
        for pod in self.cluster.pods.values():
            if not isinstance(peer, Pods) or self._is(pod, peer):
                yield pod

    def _is(self, pod: Pod, peer: Pods) -> bool:
        if peer.namespaces is None:
            return pod.name.namespace == peer.own_namespace and selects(peer.pods, pod.labels)
        labels = self.cluster.namespaces.get(pod.name.namespace)
        return (
            labels is not None
            and selects(peer.namespaces, labels)
            and selects(peer.pods, pod.labels)
        )


def ruleset(node: str, cluster: ClusterState) -> Ruleset:
    """Return the table for the pods of one node; pods no policy selects are not in it."""
    drawing = _Drawing(cluster)
    from_pods: dict[str, str] = {}
    to_pods: dict[str, str] = {}
    for pod in cluster.pods.values():
        if pod.node != node or not pod.addresses:
            continue
        governing = _governing(pod, cluster.policies.values())
        if ingress := [each for each in governing if each.ingress is not None]:
            name = drawing.chain("ingress", tuple(_ingress(drawing, pod, ingress)))
            to_pods |= dict.fromkeys(pod.addresses, name)
        if egress := [each for each in governing if each.egress is not None]:
            name = drawing.chain("egress", tuple(_egress(drawing, egress)))
            from_pods |= dict.fromkeys(pod.addresses, name)
    return Ruleset(
        counters=frozenset(drawing.counters),
        sets=drawing.sets,
        chains=drawing.chains,
        from_pods=from_pods,
        to_pods=to_pods,
    )


def _governing(pod: Pod, policies: Iterable[Policy]) -> list[Policy]:
    mine = (each for each in policies if each.name.namespace == pod.name.namespace)
    return sorted(
        (each for each in mine if selects(each.pods, pod.labels)), key=lambda each: each.name
    )


def _ingress(drawing: _Drawing, pod: Pod, policies: list[Policy]) -> Iterator[str]:
    for policy in policies:
        counter = drawing.counter("allowed", policy, "ingress")
        for rule in policy.ingress or ():
            # A named port is the selected pod's own; one it does not have matches nothing.
            ports = list(_port_matches(rule.ports, pod))
            for peer in rule.peers or (None,):
                for match in _peer_matches(drawing, peer, "saddr"):
                    yield from (_sentence(match, port, counter, "return") for port in ports)
    yield from _refusal(drawing, policies, "ingress")


def _egress(drawing: _Drawing, policies: list[Policy]) -> Iterator[str]:
    for policy in policies:
        counter = drawing.counter("allowed", policy, "egress")
        for rule in policy.egress or ():
            yield from (
                _sentence(match, counter, "return") for match in _egress_matches(drawing, rule)
            )
    yield from _refusal(drawing, policies, "egress")


def _egress_matches(drawing: _Drawing, rule: Rule) -> Iterator[str]:
    named = [entry for entry in rule.ports if isinstance(entry.port, str)]
    for peer in rule.peers or (None,):
        for match in _peer_matches(drawing, peer, "daddr"):
            yield from (_sentence(match, port) for port in _port_matches(rule.ports, None))
        for entry in named:
            yield f"ip daddr . meta l4proto . th dport @{drawing.named_ports(peer, entry)}"


def _refusal(drawing: _Drawing, policies: list[Policy], direction: str) -> Iterator[str]:
    """Whatever comes this far was allowed by none of them: each counts it, then it is dropped."""
    yield from (drawing.counter("denied", policy, direction) for policy in policies)
    yield "drop"


def _peer_matches(drawing: _Drawing, peer: Block | Pods | None, field: str) -> Iterator[str]:
    if peer is None:
        yield ""
    elif isinstance(peer, Pods):
        yield f"ip {field} @{drawing.addresses(peer)}"
    elif ":" not in peer.cidr:  # Pods have no other addresses than IPv4 here.
        excepted = ipaddress.collapse_addresses(map(ipaddress.IPv4Network, peer.excepted))
        listed = ", ".join(map(str, excepted))
        unless = f"ip {field} != {{ {listed} }}" if listed else ""
        yield _sentence(f"ip {field} {peer.cidr}", unless)


def _port_matches(entries: tuple[Ports, ...], pod: Pod | None) -> Iterator[str]:
    """Yield what to match for a rule's ports; names are looked up in ``pod``, or left out."""
    if not entries:
        yield ""
    for protocol, number in PROTOCOLS.items():
        mine = [entry for entry in entries if entry.protocol == protocol]
        if any(entry.port is None for entry in mine):
            yield f"meta l4proto {number}"
            continue
        ranges = sorted(span for entry in mine for span in _spans(entry, pod))
        if ranges:
            yield f"{protocol.lower()} dport {{ {', '.join(_merged(ranges))} }}"


def _spans(entry: Ports, pod: Pod | None) -> Iterator[tuple[int, int]]:
    if isinstance(entry.port, int):
        yield entry.port, entry.last or entry.port
    elif pod is not None:
        yield from ((number, number) for number in _numbers(pod, entry))


def _numbers(pod: Pod, entry: Ports) -> Iterator[int]:
    for port in pod.ports:
        if (port.name, port.protocol) == (entry.port, entry.protocol):
            yield port.number


def _merged(ranges: list[tuple[int, int]]) -> Iterator[str]:
    """Yield sorted ranges without overlaps, which nftables refuses."""
    first, last = ranges[0]
    for start, end in ranges[1:]:
        if start > last + 1:
            yield _span(first, last)
            first, last = start, end
        last = max(last, end)
    yield _span(first, last)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _within(address: str, block: Block) -> bool:
    if ":" in block.cidr:
        return False
    wanted = ipaddress.IPv4Address(address)
    return wanted in ipaddress.IPv4Network(block.cidr) and not any(
        wanted in ipaddress.IPv4Network(each) for each in block.excepted
    )


def _sentence(*words: str) -> str:
    return " ".join(word for word in words if word)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
