"""How many engines there are to be is read and written where their pods' last owner says it."""

from typing import Any

import pytest

from fixtures.replicas import require_unscaled
from fixtures.stack import Stack
from hotfire.agent.host import OperationError
from hotfire.agent.janitor import CHANGEABLE, changeable
from hotfire.cluster import KINDS, Replicated
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from tests.chaos.platform import NAMESPACE
from tests.fake_api import KINDS as SERVED
from tests.fake_api import SCALES, Document, FakeApi, connect, serving
from tests.foreign_cluster import put

CHAINS: dict[str, tuple[list[tuple[str, str]], Document, dict[str, str]]] = {
    "Deployment": (
        [("apps/v1", "ReplicaSet"), ("apps/v1", "Deployment")],
        {"replicas": 2, "template": {"spec": {"containers": [{"name": "templated"}]}}},
        {},
    ),
    "StatefulSet": ([("apps/v1", "StatefulSet")], {"replicas": 2}, {}),
    "LeaderWorkerSet": (
        [
            ("apps/v1", "StatefulSet"),
            ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
        ],
        {"replicas": 2},
        {},
    ),
    "InferenceService": (
        [
            ("apps/v1", "ReplicaSet"),
            ("apps/v1", "Deployment"),
            ("serving.kserve.io/v1beta1", "InferenceService"),
        ],
        {"predictor": {"minReplicas": 2, "model": {"runtime": "vllm"}}},
        {},
    ),
    "LLMInferenceService": (
        [("apps/v1", "Deployment"), ("serving.kserve.io/v1alpha1", "LLMInferenceService")],
        {"replicas": 2, "prefill": {"replicas": 5}},
        {"llm-d.ai/role": "decode"},
    ),
    "RayService": (
        [("ray.io/v1", "RayCluster"), ("ray.io/v1", "RayService")],
        {
            "rayClusterConfig": {
                "workerGroupSpecs": [
                    {"groupName": "cpu", "replicas": 7},
                    {"groupName": "gpu", "replicas": 2, "template": {}},
                ]
            }
        },
        {"ray.io/group": "gpu"},
    ),
    "DynamoGraphDeployment": (
        [
            ("apps/v1", "Deployment"),
            ("nvidia.com/v1alpha1", "DynamoComponentDeployment"),
            ("nvidia.com/v1alpha1", "DynamoGraphDeployment"),
        ],
        {"services": {"Frontend": {"replicas": 1}, "VllmDecodeWorker": {"replicas": 2}}},
        {"nvidia.com/dynamo-component": "VllmDecodeWorker"},
    ),
    "VLLMRuntime": (
        [("apps/v1", "Deployment"), ("production-stack.vllm.ai/v1alpha1", "VLLMRuntime")],
        {"deploymentConfig": {"replicas": 2, "image": {"name": "vllm"}}},
        {},
    ),
}
"""By kind: owners, the nearest first; the spec of the last one; labels of the pod."""
BATCH = ("batch/v1", "Job")
PROFILE = TargetProfile.model_validate(
    {
        "name": "miniature", "gateway": {"url": "http://10.0.0.1"}, "engine": {"model": "tiny"},
        "budgets": {}, "namespace": NAMESPACE,
    }
)  # fmt: skip


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the API server serve every kind of the chains."""
    for owners, _, _ in CHAINS.values():
        for version, kind in owners:
            monkeypatch.setitem(SERVED, version, SERVED.get(version, {}) | {kind: True})


def cluster_of(name: str, **changes: Any) -> FakeApi:  # noqa: ANN401 - any field of the spec
    owners, spec, labels = CHAINS[name]
    return cluster_with(owners, spec | changes, labels)


def cluster_with(
    owners: list[tuple[str, str]], spec: Document, labels: dict[str, str], *, pods: int = 2
) -> FakeApi:
    """Have a chain of owners, and pods of the nearest."""
    api = FakeApi()
    references = [(kind, version, kind.lower()) for version, kind in owners]
    for number, (version, kind) in enumerate(owners):
        last = number == len(owners) - 1
        parts: dict[str, Any] = {"spec": spec if last else {}}
        parts |= {} if last else {"owner": references[number + 1]}
        put(api, kind, version, kind.lower(), namespace=NAMESPACE, **parts)
    for number in range(pods):
        put(
            api, "Pod", "v1", f"engine-{number}", namespace=NAMESPACE,
            labels={"app": "vllm"} | labels, owner=references[0],
            spec={"containers": [{"name": "vllm"}]}, status={"phase": "Running"},
        )  # fmt: skip
    return api


def seen(api: FakeApi) -> Replicated:
    with serving(api) as address:
        return Stack(connect(address), PROFILE).replicated()


def written(api: FakeApi, count: int) -> Document:
    """Return the last owner's spec after so many replicas were written as a check writes them."""
    found = seen(api)
    field = changeable(found.resource, found.owner.api_version)[1]
    subresource = found.resource.partition("/")[2]
    owner, body = found.owner, {"spec": {field: found.with_replicas(count)}}
    place = (owner.kind, NAMESPACE, owner.name)
    with serving(api) as address:
        cluster = connect(address)
        cluster.patch(*place, body, api_version=owner.api_version, subresource=subresource)
        after = cluster.get(*place, api_version=owner.api_version)
    assert after is not None
    spec: Document = after["spec"]
    return spec


@pytest.mark.parametrize("name", CHAINS)
def test_the_last_owner_says_how_many(name: str) -> None:
    found = seen(cluster_of(name))

    assert (found.kind.kind, found.replicas) == (name, 2)


@pytest.mark.parametrize("name", CHAINS)
def test_one_more_is_written_there_and_nothing_else_is_changed(name: str) -> None:
    api = cluster_of(name)
    before = CHAINS[name][1]

    after = written(api, 3)

    assert seen(api).replicas == 3
    written(api, 2)
    assert seen(api).document["spec"] == before
    assert after != before


SCALER = {"scaleTargetRef": {"kind": "Deployment", "name": "deployment"}, "maxReplicas": 4}
NEVER_DOWN = {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}
OF_ANOTHER = {"scaleTargetRef": {"kind": "Deployment", "name": "another"}}


@pytest.mark.parametrize(
    ("spec", "refused"),
    [({}, True), (NEVER_DOWN, False), (OF_ANOTHER, False)],
    ids=["scaled", "never-down", "another"],
)
def test_one_more_is_refused_where_an_autoscaler_would_take_it_away(
    spec: Document, refused: bool
) -> None:
    api = cluster_of("Deployment")
    kind = ("HorizontalPodAutoscaler", "autoscaling/v2")
    put(api, *kind, "h", namespace=NAMESPACE, spec=SCALER | spec)

    with serving(api) as address:
        cluster = connect(address)
        workload = Stack(cluster, PROFILE).replicated()
        if not refused:
            require_unscaled(cluster, workload)
            return
        with pytest.raises(HarnessError, match=r"h says how many .*selectPolicy to Disabled"):
            require_unscaled(cluster, workload)


def test_an_autoscaler_of_what_the_last_owner_has_made_counts_as_well() -> None:
    api = cluster_of("InferenceService")
    put(
        api, "HorizontalPodAutoscaler", "autoscaling/v2", "h", namespace=NAMESPACE, spec=SCALER,
        owner=("ScaledObject", "keda.sh/v1alpha1", "queue"),
    )  # fmt: skip

    with serving(api) as address:
        cluster = connect(address)
        with pytest.raises(HarnessError, match=r"h of ScaledObject queue says .* Deployment depl"):
            require_unscaled(cluster, Stack(cluster, PROFILE).replicated())


def test_a_kind_of_the_table_goes_by_its_scale_subresource_where_it_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = "leaderworkerset.x-k8s.io/v1"
    by_field = seen(cluster_of("LeaderWorkerSet")).resource
    monkeypatch.setitem(SCALES, (version, "leaderworkersets"), ("replicas",))
    by_scale = seen(cluster_of("LeaderWorkerSet"))

    assert (by_field, by_scale.resource) == ("leaderworkersets", "leaderworkersets/scale")
    assert by_scale.replicas == 2


def test_every_kind_of_the_table_can_be_put_back() -> None:
    for kind in KINDS:
        version, field = CHANGEABLE[kind.resource]
        assert version.rpartition("/")[0] == kind.group
        assert kind.replicas.split(".")[0] == field
    assert {kind.kind for kind in KINDS} == set(CHAINS)


def test_its_pods_are_specified_by_the_nearest_template() -> None:
    assert seen(cluster_of("Deployment")).pod_spec["containers"] == [{"name": "templated"}]
    assert seen(cluster_of("RayService")).pod_spec["containers"] == [{"name": "vllm"}]


def test_where_nothing_is_said_there_is_one() -> None:
    assert seen(cluster_of("InferenceService", predictor={})).replicas == 1


def test_the_owner_of_most_engines_counts() -> None:
    api = cluster_of("Deployment")
    put(
        api, "Pod", "v1", "a-job", namespace=NAMESPACE, labels={"app": "vllm"},
        owner=("Job", "batch/v1", "job"), spec={}, status={"phase": "Running"},
    )  # fmt: skip

    assert seen(api).kind.kind == "Deployment"


def test_without_an_engine_it_is_known_by_those_that_were_there() -> None:
    api = cluster_of("StatefulSet")
    with serving(api) as address:
        stack = Stack(connect(address), PROFILE)
        stack.replicated()
        for number in range(2):
            api.remove(("v1", "pods", NAMESPACE, f"engine-{number}"))

        assert stack.replicated().replicas == 2
        api.remove(("apps/v1", "statefulsets", NAMESPACE, "statefulset"))
        with pytest.raises(HarnessError, match="StatefulSet statefulset, which made the engines"):
            stack.replicated()


@pytest.mark.parametrize(
    ("api", "reason"),
    [
        (lambda: cluster_with([BATCH], {}, {}), "belongs to Job job of batch/v1, and how that"),
        (lambda: cluster_with([BATCH], {}, {}, pods=0), "no engine runs in hotfire-stack"),
        (
            lambda: cluster_with(
                CHAINS["LLMInferenceService"][0], {}, {"llm-d.ai/role": "prefill"}
            ),
            "is labelled {'llm-d.ai/role': 'prefill'}",
        ),
        (
            lambda: cluster_with(CHAINS["RayService"][0], {}, {"ray.io/group": "headgroup"}),
            "its label ray.io/group=headgroup names no part of RayService rayservice",
        ),
        (
            lambda: cluster_of("LLMInferenceService", scaling={"minReplicas": 1}),
            "spec.scaling of LLMInferenceService llminferenceservice hands its replicas over",
        ),
    ],
)
def test_what_cannot_be_scaled_is_told_with_the_reason(api: Any, reason: str) -> None:  # noqa: ANN401
    with pytest.raises(HarnessError, match=reason):
        seen(api())


def test_a_pod_that_belongs_to_nothing_is_told() -> None:
    api = FakeApi()
    put(api, "Pod", "v1", "alone", namespace=NAMESPACE, labels={"app": "vllm"}, spec={})

    with pytest.raises(HarnessError, match="pod alone belongs to nothing"):
        seen(api)


def test_an_owner_that_the_cluster_does_not_serve_any_more_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(SERVED, "ray.io/v1")

    with pytest.raises(HarnessError, match="RayCluster raycluster, to which pod engine-0"):
        seen(cluster_of("RayService"))


def test_pods_are_replaced_by_a_change_of_the_template_where_it_is_known() -> None:
    body = seen(cluster_of("StatefulSet")).restarted({"restarted": "now"})

    assert body == {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    with pytest.raises(HarnessError, match="those of RayService rayservice, gpu: how its pods"):
        seen(cluster_of("RayService")).restarted({})


def test_a_version_of_another_group_is_not_put_back() -> None:
    assert changeable("statefulsets") == ("apps/v1", "replicas")
    assert changeable("rayservices", "ray.io/v1alpha1")[0] == "ray.io/v1alpha1"
    with pytest.raises(OperationError, match="no version of ray"):
        changeable("rayservices", "v1")
    with pytest.raises(OperationError, match="'secrets' is not put back"):
        changeable("secrets")
