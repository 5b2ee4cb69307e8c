"""On which nodes a pod may be placed by what its spec says of labels and taints. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from hotfire.cluster.objects import Node, Taint
from hotfire.cluster.selectors import holds

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_REPELLING = ("NoSchedule", "NoExecute")
Spec = Mapping[str, Any]


def selects_node(spec: Spec, node: Node) -> bool:
    """Return whether nodeSelector and required node affinity let a pod of this spec on a node.

    Raises:
        ClusterError: they have an operator that no version known to us has.
    """
    exact: Mapping[str, str] = spec.get("nodeSelector") or {}
    if any(node.labels.get(key) != value for key, value in exact.items()):
        return False
    terms = _terms(spec)
    return terms is None or any(_term_holds(term, node) for term in terms)


def keys_that_select(spec: Spec) -> set[str]:
    """Return the labels that nodeSelector and required node affinity look at."""
    rows = (row for term in _terms(spec) or () for row in term.get("matchExpressions") or ())
    return {*(spec.get("nodeSelector") or {}), *(row["key"] for row in rows)}


def untolerated(spec: Spec, node: Node) -> list[Taint]:
    """Return the taints that keep a pod of this spec off a node."""
    tolerations = spec.get("tolerations") or ()
    return [
        taint
        for taint in node.taints
        if taint.effect in _REPELLING and not any(_tolerates(one, taint) for one in tolerations)
    ]


def _terms(spec: Spec) -> list[Mapping[str, Any]] | None:
    """Return the terms of which one must hold; None where there is no such rule."""
    rule = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    return None if rule is None else list(rule.get("nodeSelectorTerms") or ())


def _term_holds(term: Mapping[str, Any], node: Node) -> bool:
    rows = [*_rows(term, node)]
    return bool(rows) and all(_holds(row, labels) for row, labels in rows)


def _rows(
    term: Mapping[str, Any], node: Node
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, str]]]:
    """Yield each condition of a term beside what it is about; a term of none takes no node."""
    for row in term.get("matchExpressions") or ():
        yield row, node.labels
    for row in term.get("matchFields") or ():
        yield row, {"metadata.name": node.name}


def _holds(row: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether one condition holds; nodes may be compared by number, too."""
    said = labels.get(row["key"], "")
    match row["operator"]:
        case "Gt":
            return said.isdecimal() and int(said) > int(row["values"][0])
        case "Lt":
            return said.isdecimal() and int(said) < int(row["values"][0])
        case _:
            return holds(row, labels)


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if toleration.get("key") not in (None, "", taint.key):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.value
