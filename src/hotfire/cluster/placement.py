"""Where a pod may run, asked of stand-ins: idle pods of its rules in another namespace. Pure.

A copy beside the original would take requests, be adopted by a controller and counted by a budget.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hotfire.cluster.selectors import selects

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_KEPT = ("nodeSelector", "tolerations", "schedulerName", "topologySpreadConstraints")


def rules_among_stand_ins(pod: Mapping[str, Any], home: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a pod's spec that place it, so that they mean stand-ins beside them.

    What keeps it away from pods of its own namespace keeps a stand-in away from stand-ins. Rules
    about other namespaces, and the wish to be near other pods, are left out: there is nobody.

    Args:
        pod: A running pod, as the API gives it.
        home: The labels of its namespace.
    """
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    affinity = spec.get("affinity") or {}
    anti = affinity.get("podAntiAffinity") or {}
    required = [
        _among_stand_ins(term)
        for term in anti.get(_REQUIRED) or ()
        if _means_home(term, namespace, home)
    ]
    preferred = [
        {**wish, "podAffinityTerm": _among_stand_ins(wish["podAffinityTerm"])}
        for wish in anti.get(_PREFERRED) or ()
        if _means_home(wish["podAffinityTerm"], namespace, home)
    ]
    rules = {name: spec[name] for name in _KEPT if spec.get(name)}
    if spread := rules.get("topologySpreadConstraints"):
        rules["topologySpreadConstraints"] = [_with_fewer_keys(one) for one in spread]
    rules["affinity"] = {"podAntiAffinity": {_REQUIRED: required, _PREFERRED: preferred}}
    if affinity.get("nodeAffinity"):
        rules["affinity"]["nodeAffinity"] = affinity["nodeAffinity"]
    return rules


def rules_about_nodes(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules without those about neighbours, as a pod of something else has them."""
    kept = {name: rules[name] for name in rules if name != "topologySpreadConstraints"}
    of_nodes = (rules.get("affinity") or {}).get("nodeAffinity")
    return kept | {"affinity": {"nodeAffinity": of_nodes} if of_nodes else {}}


def labels_in_rules(rules: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that the rules look at; others might mean something to somebody."""
    looked_at = {key for term in _terms(rules) for key in _keys(term)}
    return {key: value for key, value in labels.items() if key in looked_at}


def pinned(rules: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Return the rules for a pod that may run on one node only, whatever that node's labels say."""
    this = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = rules.get("affinity") or {}
    of_nodes = affinity.get("nodeAffinity") or {}
    # Any one of these terms is enough, so each of them must name the node.
    terms = (of_nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    named = [{**term, "matchFields": [*(term.get("matchFields") or ()), this]} for term in terms]
    of_nodes = {**of_nodes, _REQUIRED: {"nodeSelectorTerms": named}}
    return {**rules, "affinity": {**affinity, "nodeAffinity": of_nodes}}


def _means_home(term: Mapping[str, Any], namespace: str, home: Mapping[str, str]) -> bool:
    named, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    if not named and selector is None:
        return True
    return namespace in named or selects(selector, home)


def _among_stand_ins(term: Mapping[str, Any]) -> dict[str, Any]:
    beside = {key: term[key] for key in term if key not in ("namespaces", "namespaceSelector")}
    return _with_fewer_keys(beside)


def _with_fewer_keys(term: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the label keys that the API server has already turned into expressions."""
    kept = dict(term)
    expressions = (term.get("labelSelector") or {}).get("matchExpressions") or ()
    there = {each["key"] for each in expressions}
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        left = [key for key in kept.pop(name, None) or () if key not in there]
        kept |= {name: left} if left else {}
    return kept


def _terms(rules: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    anti = (rules.get("affinity") or {}).get("podAntiAffinity") or {}
    yield from anti.get(_REQUIRED) or ()
    yield from (wish["podAffinityTerm"] for wish in anti.get(_PREFERRED) or ())
    yield from rules.get("topologySpreadConstraints") or ()


def _keys(term: Mapping[str, Any]) -> Iterator[str]:
    selector = term.get("labelSelector") or {}
    yield from selector.get("matchLabels") or ()
    yield from (each["key"] for each in selector.get("matchExpressions") or ())
    yield from term.get("matchLabelKeys") or ()
    yield from term.get("mismatchLabelKeys") or ()
