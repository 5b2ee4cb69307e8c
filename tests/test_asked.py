"""An answer is held against what its own request asked for."""

import json
from typing import Any

import pytest

from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.request import Requests

FIELDS: dict[str, Any] = {"url": "http://10.0.0.1", "model": "tiny", "max_tokens": 9}


@pytest.mark.parametrize(
    ("changes", "models", "max_tokens"),
    [
        ({}, {"tiny"}, 9),
        ({"model_aliases": ("tiny-2026",)}, {"tiny", "tiny-2026"}, 9),
        ({"extra_body": {"max_tokens": 3}}, {"tiny"}, 3),
        ({"extra_body": {"max_completion_tokens": 300}}, {"tiny"}, 300),
        ({"extra_body": {"model": "other"}}, {"other"}, 9),
        ({"tenants": [{"name": "a", "model": "adapter"}]}, {"adapter"}, 9),
    ],
)
def test_plan_says_which_model_may_answer_and_with_how_much(
    changes: dict[str, Any], models: set[str], max_tokens: int
) -> None:
    asked = Requests(LoadPlan.model_validate(FIELDS | changes)).asked(0)

    assert (set(asked.models), asked.max_tokens) == (models, max_tokens)


def test_where_lengths_differ_each_request_has_its_own_limit() -> None:
    lengths = {"distribution": "uniform", "least": 1, "most": 500}
    requests = Requests(LoadPlan.model_validate(FIELDS | {"output_tokens": lengths}))

    for prompt_id in range(20):
        sent = json.loads(requests.body(prompt_id))["max_tokens"]
        assert requests.asked(prompt_id).max_tokens == sent
