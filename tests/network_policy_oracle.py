"""What networking.k8s.io/v1 says of a connection, straight from the documents; knows no rules."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A pod, or with no namespace somebody outside."""

    name: str
    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def document(self, node: str) -> dict[str, Any]:
        """Return the pod as the API would show it."""
        rows = [
            {"name": name, "protocol": protocol, "containerPort": number}
            for name, (protocol, number) in self.ports.items()
        ]
        return {
            "metadata": {
                "namespace": self.namespace,
                "name": self.name,
                "labels": dict(self.labels),
            },
            "spec": {"nodeName": node, "containers": [{"ports": rows}]},
            "status": {"phase": "Running", "podIPs": [{"ip": self.address}]},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Policies and the labels of the namespaces."""

    policies: tuple[Document, ...]
    namespaces: Mapping[str, Mapping[str, str]]

    def allows(self, source: Host, target: Host, protocol: str, port: int) -> bool:
        """Return whether the API's text lets this connection pass."""
        out = self._passes("Egress", source, target, target, protocol, port)
        return out and self._passes("Ingress", target, source, target, protocol, port)

    def _passes(
        self, kind: str, subject: Host, other: Host, target: Host, protocol: str, port: int
    ) -> bool:
        isolating = [
            each["spec"]
            for each in self.policies
            if each["metadata"]["namespace"] == subject.namespace
            and kind in each["spec"]["policyTypes"]
            and takes(each["spec"]["podSelector"], subject.labels)
        ]
        side = "from" if kind == "Ingress" else "to"
        return not isolating or any(
            (not rule.get(side) or any(self._is(peer, subject, other) for peer in rule[side]))
            and (not rule.get("ports") or _opens(rule["ports"], target, protocol, port))
            for spec in isolating
            for rule in spec.get(kind.lower(), [])
        )

    def _is(self, peer: Document, subject: Host, other: Host) -> bool:
        if "ipBlock" in peer:
            address = ipaddress.ip_address(other.address)
            inside = address in ipaddress.ip_network(peer["ipBlock"]["cidr"])
            holes = map(ipaddress.ip_network, peer["ipBlock"].get("except", []))
            return inside and not any(address in hole for hole in holes)
        if not other.namespace:
            return False
        if "namespaceSelector" in peer:
            there = takes(peer["namespaceSelector"], self.namespaces[other.namespace])
        else:
            there = other.namespace == subject.namespace
        return there and takes(peer.get("podSelector", {}), other.labels)


def _opens(entries: Iterable[Document], target: Host, protocol: str, port: int) -> bool:
    for entry in entries:
        if entry.get("protocol", "TCP") != protocol:
            continue
        wanted = entry.get("port")
        if wanted is None or wanted == port or target.ports.get(str(wanted)) == (protocol, port):
            return True
        if isinstance(wanted, int) and wanted <= port <= entry.get("endPort", wanted):
            return True
    return False


def takes(selector: Document, labels: Mapping[str, str]) -> bool:
    """Return whether a label selector takes these labels."""
    rows = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in selector.get("matchLabels", {}).items()
    ]
    verdicts = {
        "In": lambda row: labels.get(row["key"]) in row["values"],
        "NotIn": lambda row: labels.get(row["key"]) not in row["values"],
        "Exists": lambda row: row["key"] in labels,
        "DoesNotExist": lambda row: row["key"] not in labels,
    }
    return all(verdicts[r["operator"]](r) for r in [*rows, *selector.get("matchExpressions", [])])
