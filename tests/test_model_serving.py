"""The reference operator has the groups that are asked for, and says of them what is so."""

from copy import deepcopy
from typing import Any

import pytest

from hotfire.engine import api_server
from hotfire.engine.model_serving import API_VERSION, INSTANCE, NAME, Operator
from hotfire.engine.shape_webhook import review

Document = dict[str, Any]
SERVING = f"/apis/{API_VERSION}/namespaces/ns/modelservings/chat"
GROUPS = "/apis/apps/v1/namespaces/ns/statefulsets"


class FakeApi(api_server.Api):
    """Objects by their path; a StatefulSet's pods are Ready as soon as it is told to be."""

    def __init__(self, **spec: object) -> None:
        template = {"spec": {"containers": [{"name": "engine"}]}}
        asked = {"instances": 2, "replicas": 2, "gpusPerPod": 4, "template": template}
        metadata = {"name": "chat", "namespace": "ns", "uid": "u", "generation": 1}
        self.objects: dict[str, Document] = {SERVING: {"metadata": metadata, "spec": asked | spec}}

    def get(self, path: str) -> Document:
        place = path.partition("?")[0].replace(f"{API_VERSION}/", f"{API_VERSION}/namespaces/ns/")
        found = [one for name, one in self.objects.items() if name.startswith(f"{place}/")]
        return {"items": deepcopy(found)}

    def patch(self, path: str, body: Document) -> None:
        assert path == f"{SERVING}/status"
        self.objects[SERVING] |= body

    def apply(self, path: str, body: Document, *, manager: str) -> Document:
        former = self.objects.get(path, {"metadata": {"generation": 1}, "status": {}})
        generation = {"generation": former["metadata"]["generation"]}
        kept = {"metadata": generation | body["metadata"], "status": former["status"]}
        self.objects[path] = deepcopy(body) | kept
        return deepcopy(self.objects[path])

    def delete(self, path: str) -> None:
        del self.objects[path]

    @property
    def groups(self) -> dict[str, Document]:
        return {
            path.rpartition("/")[2]: one
            for path, one in self.objects.items()
            if path.startswith(GROUPS)
        }

    def have_ready(self, group: str, pods: int) -> None:
        self.groups[group]["status"] |= {"observedGeneration": 1, "readyReplicas": pods}

    def ask(self, **spec: object) -> None:
        self.objects[SERVING]["spec"] |= spec
        self.objects[SERVING]["metadata"]["generation"] += 1


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def operator(api: FakeApi) -> Operator:
    return Operator(api, "example.com/gpu")


def true_conditions(api: FakeApi) -> set[str]:
    status = api.objects[SERVING]["status"]
    assert status["observedGeneration"] == api.objects[SERVING]["metadata"]["generation"]
    return {one["type"] for one in status["conditions"] if one["status"] == "True"}


def test_each_instance_is_a_group_of_its_own(api: FakeApi, operator: Operator) -> None:
    assert operator.turn() == []

    assert set(api.groups) == {"chat-0", "chat-1"}
    one = api.groups["chat-1"]
    [container] = one["spec"]["template"]["spec"]["containers"]
    assert one["spec"]["replicas"] == 2
    assert one["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert container["resources"]["limits"] == {"example.com/gpu": "4"}
    assert one["spec"]["template"]["metadata"]["labels"] == {NAME: "chat", INSTANCE: "chat-1"}
    assert one["metadata"]["ownerReferences"][0]["uid"] == "u"


def test_instances_that_nobody_wants_any_more_go(api: FakeApi, operator: Operator) -> None:
    operator.turn()
    api.ask(instances=1)

    operator.turn()

    assert set(api.groups) == {"chat-0"}


def test_what_somebody_made_of_a_group_is_put_right(api: FakeApi, operator: Operator) -> None:
    operator.turn()
    api.groups["chat-0"]["spec"]["replicas"] = 3

    operator.turn()

    assert api.groups["chat-0"]["spec"]["replicas"] == 2


def test_a_group_without_all_its_pods_is_on_its_way(api: FakeApi, operator: Operator) -> None:
    operator.turn()
    api.have_ready("chat-0", 2)
    api.have_ready("chat-1", 1)

    operator.turn()

    assert true_conditions(api) == {"Progressing"}
    assert api.objects[SERVING]["status"]["readyInstances"] == 1


def test_a_group_that_loses_a_pod_is_degraded_until_it_is_back(
    api: FakeApi, operator: Operator
) -> None:
    seen = []
    operator.turn()
    api.have_ready("chat-1", 2)

    for ready in (2, 1, 1, 2):
        api.have_ready("chat-0", ready)
        operator.turn()
        seen.append(true_conditions(api))

    assert seen == [{"Ready"}, {"Degraded"}, {"Degraded"}, {"Ready"}]


def test_what_is_asked_for_anew_is_on_its_way(api: FakeApi, operator: Operator) -> None:
    operator.turn()
    for name in api.groups:
        api.have_ready(name, 2)
    operator.turn()
    api.ask(instances=3)

    operator.turn()

    assert true_conditions(api) == {"Progressing"}


def test_a_resource_that_cannot_be_made_stops_no_other(api: FakeApi, operator: Operator) -> None:
    metadata = api.objects[SERVING]["metadata"] | {"name": "bad"}
    spec = {"template": {"spec": {"containers": [{}]}}, "instances": "many"}
    other = {"metadata": metadata, "spec": spec}
    api.objects = {SERVING.replace("chat", "bad"): other, **api.objects}

    def refused(path: str, body: Document, *, manager: str) -> Document:
        if "bad" in path:
            raise OSError("422")
        return FakeApi.apply(api, path, body, manager=manager)

    api.apply = refused  # type: ignore[method-assign]

    assert operator.turn() == ["bad: 422"]
    assert set(api.groups) == {"chat-0", "chat-1"}


@pytest.mark.parametrize(
    ("replicas", "gpus", "allowed"), [(2, 4, True), (8, 1, True), (3, 4, False), (1, 4, False)]
)
def test_numbers_that_contradict_are_denied(replicas: int, gpus: int, allowed: bool) -> None:
    spec = {"replicas": replicas, "gpusPerPod": gpus, "tensorParallelSize": 8}
    request = {"uid": "r", "object": {"spec": spec}}

    answer = review({"apiVersion": "v1", "kind": "AdmissionReview", "request": request})

    assert answer["response"]["uid"] == "r"
    assert answer["response"]["allowed"] is allowed
    assert ("status" in answer["response"]) is not allowed
