"""Stand-ins keep from each other what the original keeps from its own kind, and nothing else."""

from typing import Any

import pytest

from hotfire.cluster import labels_in_rules, pinned, rules_about_nodes, rules_among_stand_ins

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOME = {"kubernetes.io/metadata.name": "serving", "team": "a"}
HOST = {"topologyKey": "kubernetes.io/hostname"}
OWN = {"labelSelector": {"matchLabels": {"app": "vllm"}}, **HOST}


def engine(**spec: object) -> dict[str, Any]:
    return {"metadata": {"name": "vllm-0", "namespace": "serving"}, "spec": spec}


def apart(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAntiAffinity": {REQUIRED: list(terms)}}


def required(rules: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rules["affinity"]["podAntiAffinity"][REQUIRED]
    return found


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"namespaces": ["serving"]},
        {"namespaces": ["other", "serving"]},
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "a"}}},
    ],
)
def test_a_rule_about_its_own_namespace_is_one_about_stand_ins(where: dict[str, Any]) -> None:
    rules = rules_among_stand_ins(engine(affinity=apart(OWN | where)), HOME)

    assert required(rules) == [OWN]


@pytest.mark.parametrize(
    "where", [{"namespaces": ["other"]}, {"namespaceSelector": {"matchLabels": {"team": "b"}}}]
)
def test_a_rule_about_other_namespaces_is_left_out(where: dict[str, Any]) -> None:
    rules = rules_among_stand_ins(engine(affinity=apart(OWN | where)), HOME)

    assert required(rules) == []


def test_what_is_preferred_stays_preferred() -> None:
    wish = {"weight": 1, "podAffinityTerm": OWN | {"namespaces": ["serving"]}}

    rules = rules_among_stand_ins(engine(affinity={"podAntiAffinity": {PREFERRED: [wish]}}), HOME)

    assert required(rules) == []
    kept = rules["affinity"]["podAntiAffinity"][PREFERRED]
    assert kept == [{"weight": 1, "podAffinityTerm": OWN}]


def test_rules_about_nodes_are_kept_and_devices_and_priorities_are_not() -> None:
    kept = {"nodeSelector": {"gpu": "yes"}, "tolerations": [{"operator": "Exists"}]}
    near = {"podAffinity": {REQUIRED: [OWN]}}

    rules = rules_among_stand_ins(
        engine(**kept, affinity=near, priorityClassName="high", nodeName="n1", containers=[]), HOME
    )

    assert rules.keys() == {"nodeSelector", "tolerations", "affinity"}
    assert rules["affinity"].keys() == {"podAntiAffinity"}
    assert rules_about_nodes(rules) == kept | {"affinity": {}}


def test_label_keys_that_the_server_wrote_out_are_not_written_twice() -> None:
    hashed = {"key": "hash", "operator": "In", "values": ["f00"]}
    term = HOST | {"labelSelector": {"matchExpressions": [hashed]}, "matchLabelKeys": ["hash"]}

    rules = rules_among_stand_ins(engine(affinity=apart(term)), HOME)

    assert required(rules) == [HOST | {"labelSelector": {"matchExpressions": [hashed]}}]


def test_only_labels_that_rules_look_at_are_carried() -> None:
    hashed = {"matchExpressions": [{"key": "model", "operator": "Exists"}]}
    spread = {"topologyKey": "zone", "labelSelector": hashed, "matchLabelKeys": ["hash"]}
    rules = rules_among_stand_ins(
        engine(affinity=apart(OWN), topologySpreadConstraints=[spread]), HOME
    )

    carried = labels_in_rules(rules, {"app": "vllm", "hash": "f00", "queue": "q"})

    assert carried == {"app": "vllm", "hash": "f00"}


def test_a_pinned_pod_may_run_on_that_node_by_none_of_its_alternatives_elsewhere() -> None:
    big, new = ([{"key": key, "operator": "Exists"}] for key in ("big", "new"))
    terms = [{"matchExpressions": big}, {"matchExpressions": new}]
    nodes = {REQUIRED: {"nodeSelectorTerms": terms}}
    rules = rules_among_stand_ins(engine(affinity={"nodeAffinity": nodes}), HOME)

    found = pinned(rules, "n1")["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]

    this = [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]
    assert found == [
        {"matchExpressions": big, "matchFields": this},
        {"matchExpressions": new, "matchFields": this},
    ]


def test_a_pod_without_rules_is_pinned_by_the_node_alone() -> None:
    rules = pinned(rules_among_stand_ins(engine(), HOME), "n1")

    this = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    of_nodes = rules["affinity"]["nodeAffinity"]
    assert of_nodes == {REQUIRED: {"nodeSelectorTerms": [{"matchFields": [this]}]}}
