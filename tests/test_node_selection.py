"""A pod's own rules say on which nodes it may be placed, as the scheduler reads them."""

from typing import Any

import pytest

from hotfire.cluster import Node, keys_that_select, selects_node, untolerated

GPU = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
DOCUMENT = {
    "metadata": {"name": "n1", "uid": "1", "labels": {"gpu": "h100", "count": "8"}},
    "spec": {"taints": [GPU, {"key": "slow", "effect": "PreferNoSchedule"}]},
}
NODE = Node.parse(DOCUMENT)


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": rule}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        ({}, True),
        ({"nodeSelector": {"gpu": "h100"}}, True),
        ({"nodeSelector": {"gpu": "a100"}}, False),
        (affinity(expression("gpu", "In", "a100", "h100")), True),
        (affinity(expression("gpu", "DoesNotExist")), False),
        (affinity(expression("count", "Gt", "7")), True),
        (affinity(expression("count", "Lt", "8")), False),
        (affinity(expression("gpu", "Gt", "7")), False),
        (affinity(expression("gpu", "In", "a100"), expression("gpu", "Exists")), True),
        (affinity({}), False),
        (
            affinity({"matchFields": expression("metadata.name", "In", "n1")["matchExpressions"]}),
            True,
        ),
    ],
)
def test_labels_and_names_select_a_node(spec: dict[str, Any], taken: bool) -> None:
    assert selects_node(spec, NODE) is taken


def test_what_selects_is_told_by_the_labels_it_looks_at() -> None:
    spec = {"nodeSelector": {"gpu": "h100"}} | affinity(expression("count", "Exists"))

    assert keys_that_select(spec) == {"gpu", "count"}


@pytest.mark.parametrize(
    ("toleration", "kept_off"),
    [
        ({"operator": "Exists"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, False),
        ({"key": "nvidia.com/gpu", "value": "absent"}, True),
        ({"key": "other", "operator": "Exists"}, True),
    ],
)
def test_taint_keeps_off_what_does_not_tolerate_it(
    toleration: dict[str, str], kept_off: bool
) -> None:
    found = untolerated({"tolerations": [toleration]}, NODE)

    assert [taint.key for taint in found] == ["nvidia.com/gpu"] * kept_off
