"""Replicas of a model spread over racks within the declared skew.

A rack's switch or its power takes every replica in it at once. A rule whose selector matches no pod
of its own counts nobody and lets all of them into one rack; as long as another rule keeps them on
different nodes, and there is one node a rack, that looks just as well.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from fixtures.scratch import Decision, Scratch
from fixtures.stack import Stack
from fixtures.stand_ins import IDLE, EngineRules, engine_rules, open_to_engines
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Node, pinned, rules_about_nodes
from hotfire.errors import HarnessError

pytestmark = requirement(
    "SCH-003",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",
)

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
ROUNDS = 2
"""So many replicas a rack are placed."""

Racks = Mapping[str, str]
"""The rack of each node that is open to engines."""


def declared_skew(rules: Mapping[str, Any], rack_label: str) -> int:
    """Return by how many replicas racks may differ; one where the engine's rules name no number."""
    spread = rules.get("topologySpreadConstraints") or ()
    skews = [one["maxSkew"] for one in spread if one["topologyKey"] == rack_label]
    return min(skews, default=1)


def skew(placed: Iterable[str], racks: Racks) -> int:
    """Return by how many replicas the fullest rack differs from the emptiest."""
    counts = Counter(racks[node] for node in placed if node in racks)
    numbers = [counts[rack] for rack in set(racks.values())]
    return max(numbers) - min(numbers)


def racks_of_engines(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, found: EngineRules
) -> Racks:
    """Return the racks that are open to engines, asked by a pod without rules about neighbours.

    Raises:
        HarnessError: they are fewer than two.
    """
    selector, label = profile.accelerator.node_selector, profile.fabric.rack_label
    nodes = [each for each in cluster.nodes(selector) if each.ready and not each.unschedulable]
    for node in nodes:
        besides = pinned(rules_about_nodes(found.rules), node.name)
        scratch.pod(f"another-{node.name}", argv=IDLE, spec_besides=besides)
    decisions = scratch.decisions() if nodes else {}
    taking = set(open_to_engines([node.name for node in nodes], decisions))
    racks = {node.name: rack(node, label) for node in nodes if node.name in taking}
    scratch.clear()
    if len(set(racks.values())) < 2:
        raise HarnessError(f"engines may use racks {racks}: needs two of them by label {label}")
    return racks


def rack(node: Node, label: str) -> str:
    if label not in node.labels:
        raise HarnessError(f"{node.name} has no label {label}; set fabric.rack_label")
    return node.labels[label]


def beyond_nodes(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules without those that keep replicas off one node, which would hide the rest."""
    affinity = rules.get("affinity") or {}
    apart = (affinity.get("podAntiAffinity") or {}).get(REQUIRED) or ()
    kept = [term for term in apart if term["topologyKey"] != "kubernetes.io/hostname"]
    return {**rules, "affinity": {**affinity, "podAntiAffinity": {REQUIRED: kept}}}


def drawn_to(rules: Mapping[str, Any], label: str, favourite: str) -> dict[str, Any]:
    """Return the rules of a pod that would rather be in one rack; what is required still holds."""
    wish = {"matchExpressions": [{"key": label, "operator": "In", "values": [favourite]}]}
    affinity = rules.get("affinity") or {}
    of_nodes = {
        **(affinity.get("nodeAffinity") or {}),
        PREFERRED: [{"weight": 100, "preference": wish}],
    }
    return {**rules, "affinity": {**affinity, "nodeAffinity": of_nodes}}


def kept_out(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rules of a pod that no node with a pod ``blocker`` takes."""
    affinity = rules["affinity"]
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"hotfire-role": "blocker"}},
    }
    apart = [*affinity["podAntiAffinity"][REQUIRED], term]
    return {**rules, "affinity": {**affinity, "podAntiAffinity": {REQUIRED: apart}}}


def placed(scratch: Scratch, prefix: str) -> dict[str, Decision]:
    """Return what was decided on the pods whose names begin so."""
    return {name: one for name, one in scratch.decisions().items() if name.startswith(prefix)}


def nodes_of(decisions: Mapping[str, Decision]) -> list[str]:
    return [one.node for one in decisions.values() if one.node]


def test_engines_are_spread_now(
    profile: TargetProfile, cluster: Cluster, stack: Stack, scratch: Scratch, evidence: Evidence
) -> None:
    found = engine_rules(cluster, stack)
    racks = racks_of_engines(profile, cluster, scratch, found)
    engines = {pod.name: pod.node for pod in stack.engines() if pod.node}
    most = declared_skew(found.rules, profile.fabric.rack_label)
    evidence.record("racks", racks)
    evidence.record("engines", engines)

    seen = skew(engines.values(), racks)
    assert seen <= most, f"engines in racks differ by {seen}, declared are {most}: {engines}"


def test_replicas_that_all_want_one_rack_are_spread(
    profile: TargetProfile, cluster: Cluster, stack: Stack, scratch: Scratch, evidence: Evidence
) -> None:
    found, label = engine_rules(cluster, stack), profile.fabric.rack_label
    racks = racks_of_engines(profile, cluster, scratch, found)
    favourite, most = min(racks.values()), declared_skew(found.rules, label)
    rules = drawn_to(beyond_nodes(found.rules), label, favourite)
    free = drawn_to(rules_about_nodes(found.rules), label, favourite)
    skews = {}
    for number in range(1, ROUNDS * len(set(racks.values())) + 1):
        name = f"replica-{number:02}"
        scratch.pod(name, argv=IDLE, labels=found.labels, spec_besides=rules)
        scratch.pod(f"another-{number:02}", argv=IDLE, spec_besides=free)
        skews[number] = skew(nodes_of(placed(scratch, "replica-")), racks)
    forced = skew(nodes_of(placed(scratch, "another-")), racks)
    evidence.record("skew_by_replicas", skews)
    evidence.record("skew_without_the_rule", forced)
    evidence.record(
        "decisions", {name: asdict(one) for name, one in placed(scratch, "replica-").items()}
    )

    worst = max(skews.values())
    assert worst <= most, f"replicas in racks differ by {worst}, declared are {most}"
    # Negative control: pods without the rule do crowd into that rack, and that is noticed.
    if forced <= most:
        raise HarnessError(f"pods without the rule differ by {forced} in racks only")


def test_rack_without_room_does_not_crowd_the_others(
    profile: TargetProfile, cluster: Cluster, stack: Stack, scratch: Scratch, evidence: Evidence
) -> None:
    found, label = engine_rules(cluster, stack), profile.fabric.rack_label
    racks = racks_of_engines(profile, cluster, scratch, found)
    full, most = max(racks.values()), declared_skew(found.rules, label)
    for node in (node for node in racks if racks[node] == full):
        scratch.pod(f"blocker-{node}", argv=IDLE, node=node, labels={"hotfire-role": "blocker"})
    scratch.decisions()
    rules = kept_out(drawn_to(beyond_nodes(found.rules), label, min(racks.values())))
    for number in range(most * (len(set(racks.values())) - 1) + 1):
        scratch.pod(f"replica-{number}", argv=IDLE, labels=found.labels, spec_besides=rules)
    decisions = placed(scratch, "replica-")
    evidence.record("without_room", full)
    evidence.record("decisions", {name: asdict(one) for name, one in decisions.items()})

    held = Counter(racks[node] for node in nodes_of(decisions))
    if not held or full in held:
        raise HarnessError(f"expected replicas outside {full} only, got {dict(held)}")
    worst = max(held.values())
    assert worst <= most, f"{full} has no room, and another rack holds {worst} replicas more"
