"""What the checks of engines of several pods conclude from what they saw."""

from dataclasses import replace
from typing import Any

import pytest

from fixtures.denials import Gatekeepers, gatekeepers
from fixtures.engine_groups import Groups, Told
from fixtures.operators import Webhook
from hotfire import TargetProfile
from hotfire.cluster import Answer, Pod
from hotfire.errors import HarnessError
from suites.operator.test_group_members_keep_their_names import least_whole
from tests.fake_api import FakeApi, connect, serving

LABEL = "instance"
KEEPERS = Gatekeepers(
    webhooks=(Webhook(name="shape.example", served=True),), rules=("sizes differ",), spoken=True
)
TOLD = Told(ready=True, reasons={"Degraded": False}, observed=2, generation=2)


def pod(name: str, *, ready: bool = True) -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": name, "uid": name, "labels": {LABEL: name[0]}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}}


def groups(**changes: object) -> Groups:
    said = {"name": "t", "gateway": {"url": "http://10.0.0.1"}, "engine": {"model": "m"}}
    profile = TargetProfile.model_validate(said | {"budgets": "lab", "engine_groups": changes})
    return Groups(cluster=None, profile=profile, namespace="ns")  # type: ignore[arg-type]


def test_an_instance_is_whole_with_all_its_pods_only() -> None:
    before = {name: [Pod.parse(pod(f"{name}{n}")) for n in range(2)] for name in "ab"}
    one, other = pod("a0", ready=False), pod("b1", ready=False)

    assert least_whole(before, [], label=LABEL) == 2
    assert least_whole(before, [one, pod("a0")], label=LABEL) == 1
    assert least_whole(before, [one, pod("a0"), other], label=LABEL) == 1
    assert least_whole(before, [one, other], label=LABEL) == 0


@pytest.mark.parametrize(
    ("changes", "whole", "broken"),
    [
        ({}, True, False),
        ({"ready": False, "reasons": {"Degraded": True}}, False, True),
        ({"ready": False, "reasons": {"Degraded": False}}, False, False),
        ({"reasons": {"Degraded": True}}, False, False),
        ({"ready": False, "reasons": {}}, False, True),
        ({"observed": 1}, False, False),
        ({"observed": None}, False, False),
    ],
)
def test_conditions_say_whether_something_is_missing(
    changes: dict[str, Any], whole: bool, broken: bool
) -> None:
    told = replace(TOLD, **changes)

    assert told.says(whole=True) is whole
    assert told.says(whole=False) is broken


@pytest.mark.parametrize(
    ("message", "denied"),
    [
        ('admission webhook "shape.example" denied the request: 3 x 4', True),
        ('admission webhook "other.example" denied the request: 3 x 4', False),
        ('X "a" is invalid: spec: Invalid value: sizes differ', True),
        ("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: sizes", True),
        ('spec.tensorParallelSize: Invalid value: "string": must be of type integer', False),
    ],
)
def test_a_schema_s_error_is_nobody_s_word(message: str, denied: bool) -> None:
    assert KEEPERS.denied(Answer(status=403, message=message)) is denied


def test_words_that_are_made_up_at_the_time_cannot_be_told_from_a_schema_s() -> None:
    keepers = replace(KEEPERS, spoken=False)

    with pytest.raises(HarnessError, match="messageExpression"):
        keepers.denied(Answer(status=422, message="something else"))


def test_who_may_deny_is_read_from_the_definition() -> None:
    rules = [{"rule": "self.a == self.b"}, {"rule": "true", "message": "sizes differ"}]
    schema = {"properties": {"spec": {"x-kubernetes-validations": rules}}}
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": schema}}, {"name": "v2"}]
    names = {"kind": "Group", "plural": "groups"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "groups.example.com"},
        "spec": {"group": "example.com", "names": names, "versions": versions},
    }

    api = FakeApi()
    api.put(definition)
    with serving(api) as address:
        found = gatekeepers(connect(address), "Group", "example.com/v1")

    assert found.rules == ("failed rule: self.a == self.b", "sizes differ")
    assert found.spoken


def test_fields_are_set_where_the_target_file_says() -> None:
    spec = {"leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": {"x": 1}}}}
    found = groups(
        spec=spec,
        instances="replicas",
        group_size="leaderWorkerTemplate.size",
        template="leaderWorkerTemplate.workerTemplate",
    )

    document = found.document(instances=3, template={"metadata": {"a": "b"}})

    worker = {"metadata": {"a": "b"}, "spec": {"x": 1}}
    assert document["spec"] == {
        "replicas": 3,
        "leaderWorkerTemplate": {"size": 2, "workerTemplate": worker},
    }
    assert found.size == 2


def test_a_spec_that_does_not_say_a_group_s_size_is_the_operator_s_to_mend() -> None:
    with pytest.raises(HarnessError, match=r"engine_groups\.spec says nothing at size"):
        _ = groups(group_size="size").size
