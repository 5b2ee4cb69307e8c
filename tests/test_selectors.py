"""A label selector takes what the API server's own would take."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfire.cluster import selects
from hotfire.errors import ClusterError

ENGINE = {"app": "vllm", "role": "decode"}
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    more = {"values": list(values)} if values else {}
    return {"matchExpressions": [{"key": key, "operator": operator, **more}]}


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": None, "matchExpressions": None}, True),
        ({"matchLabels": {"app": "vllm"}}, True),
        ({"matchLabels": {"app": "vllm", "tier": "a"}}, False),
        (expression("app", "In", "x", "vllm"), True),
        (expression("app", "In", "postgres"), False),
        (expression("tier", "In", "a"), False),
        (expression("app", "NotIn", "postgres"), True),
        (expression("app", "NotIn", "vllm"), False),
        (expression("tier", "NotIn", "a"), True),
        (expression("role", "Exists"), True),
        (expression("tier", "Exists"), False),
        (expression("tier", "DoesNotExist"), True),
        (expression("role", "DoesNotExist"), False),
        ({"matchLabels": {"app": "vllm"}, **expression("tier", "Exists")}, False),
    ],
)
def test_an_engine_is_taken_as_the_api_says(selector: dict[str, Any] | None, taken: bool) -> None:
    assert selects(selector, ENGINE) is taken


@given(LABELS, st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), min_size=1))
def test_an_operator_and_its_opposite_share_all_labels_out(
    labels: dict[str, str], key: str, values: list[str]
) -> None:
    for one, other in [("In", "NotIn"), ("Exists", "DoesNotExist")]:
        given = values if one == "In" else []
        taken = [selects(expression(key, name, *given), labels) for name in (one, other)]
        assert sorted(taken) == [False, True]


@given(LABELS, LABELS)
def test_labels_are_an_expression_for_each(labels: dict[str, str], wanted: dict[str, str]) -> None:
    rows = [{"key": k, "operator": "In", "values": [v]} for k, v in wanted.items()]

    assert selects({"matchLabels": wanted}, labels) == selects({"matchExpressions": rows}, labels)


def test_an_operator_nobody_knows_is_not_guessed() -> None:
    with pytest.raises(ClusterError, match="operator 'Gt'"):
        selects(expression("app", "Gt", "3"), ENGINE)
