"""Pods, namespaces and policies as the rules need them, read from the API's JSON."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Selector = Mapping[str, Any]
Labels = Mapping[str, str]
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_OVER = ("Succeeded", "Failed")


class Name(NamedTuple):
    """What tells an object of one kind from all others."""

    namespace: str
    name: str


class NamedPort(NamedTuple):
    """A container's port that has a name."""

    name: str
    protocol: str
    number: int


class Pod(NamedTuple):
    """A pod with a network of its own; ``addresses`` are IPv4 and may be yet to come."""

    name: Name
    labels: Labels
    node: str
    addresses: tuple[str, ...]
    ports: tuple[NamedPort, ...]


class Block(NamedTuple):
    """An address range without some of its parts."""

    cidr: str
    excepted: tuple[str, ...]


class Pods(NamedTuple):
    """Pods by labels; ``namespaces`` None means the policy's own namespace."""

    own_namespace: str
    namespaces: Selector | None
    pods: Selector


class Ports(NamedTuple):
    """One entry of a rule's ports: a number, a range, a container port's name, or all (None)."""

    protocol: str
    port: int | str | None
    last: int | None


class Rule(NamedTuple):
    """Who may talk on which ports; an empty tuple stands for everybody and for every port."""

    peers: tuple[Block | Pods, ...]
    ports: tuple[Ports, ...]


class Policy(NamedTuple):
    """One NetworkPolicy; a direction that it does not govern is None."""

    name: Name
    pods: Selector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None


def name(document: Mapping[str, Any]) -> Name:
    """Return the name of any API object."""
    metadata = document["metadata"]
    return Name(metadata.get("namespace", ""), metadata["name"])


def labels(document: Mapping[str, Any]) -> Labels:
    """Return the labels of any API object."""
    found: Labels = document["metadata"].get("labels") or {}
    return found


def pod(document: Mapping[str, Any]) -> Pod | None:
    """Return a pod; None for one on its host's network and one whose address is free again."""
    spec, status = document["spec"], document.get("status", {})
    if spec.get("hostNetwork") or status.get("phase") in _OVER:
        return None
    addresses = (row["ip"] for row in status.get("podIPs", ()))
    return Pod(
        name=name(document),
        labels=labels(document),
        node=spec.get("nodeName", ""),
        addresses=tuple(address for address in addresses if ":" not in address),
        ports=tuple(
            NamedPort(row["name"], row.get("protocol", "TCP"), row["containerPort"])
            for container in spec["containers"]
            for row in container.get("ports", ())
            if "name" in row
        ),
    )


def policy(document: Mapping[str, Any]) -> Policy:
    """Return a policy with the API's defaults filled in."""
    spec, named = document["spec"], name(document)
    default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    kinds = spec.get("policyTypes") or default
    namespace = named.namespace
    return Policy(
        name=named,
        pods=spec.get("podSelector") or {},
        ingress=_rules(spec, "ingress", "from", namespace) if "Ingress" in kinds else None,
        egress=_rules(spec, "egress", "to", namespace) if "Egress" in kinds else None,
    )


def _rules(spec: Mapping[str, Any], direction: str, side: str, namespace: str) -> tuple[Rule, ...]:
    return tuple(
        Rule(
            peers=tuple(_peer(row, namespace) for row in rule.get(side) or ()),
            ports=tuple(
                Ports(row.get("protocol", "TCP"), row.get("port"), row.get("endPort"))
                for row in rule.get("ports") or ()
            ),
        )
        for rule in spec.get(direction) or ()
    )


def _peer(row: Mapping[str, Any], namespace: str) -> Block | Pods:
    if block := row.get("ipBlock"):
        return Block(block["cidr"], tuple(block.get("except") or ()))
    return Pods(namespace, row.get("namespaceSelector"), row.get("podSelector") or {})


def selects(selector: Selector, found: Labels) -> bool:
    """Return whether a label selector takes these labels; an empty one takes everything."""
    exact: Labels = selector.get("matchLabels") or {}
    if any(found.get(key) != value for key, value in exact.items()):
        return False
    return all(_holds(row, found) for row in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], found: Labels) -> bool:
    value = found.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            # A label that is not there is not in the list either.
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            raise ValueError(f"expected a label selector's operator, got {operator!r}")
