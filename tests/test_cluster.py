"""The real Kubernetes client against an API server in miniature."""

import tempfile
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from hotfire.cluster import Answer, Cluster, Pod, namespaces, quantity, serving_endpoints, view
from hotfire.errors import ClusterError, Conflict, ProfileError
from tests.fake_api import Document, FakeApi, connect, serving


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def cluster(api: FakeApi) -> Iterator[Cluster]:
    with serving(api) as address:
        yield connect(address)


def test_what_is_served_is_asked_once_of_the_group_concerned_and_written_to_no_file(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serving(api) as address:
        cluster = connect(address)
        for kind, version in (("Pod", "v1"), ("Node", "v1"), ("Deployment", "apps/v1")) * 2:
            cluster.list(kind, api_version=version)

    assert api.discovered == ["/version", "/apis", "/api/v1", "/apis/apps/v1"]
    assert list(tmp_path.iterdir()) == []


def config_map(name: str, **data: str) -> Document:
    metadata = {"name": name, "namespace": "a"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_what_is_applied_can_be_read_back(cluster: Cluster) -> None:
    cluster.apply([config_map("one", key="value")])

    found = cluster.get("ConfigMap", "a", "one")

    assert found
    assert found["data"] == {"key": "value"}


def test_namespaces_are_applied_before_what_lives_in_them(cluster: Cluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}

    applied = cluster.apply([config_map("one"), namespace])

    assert [one["kind"] for one in applied] == ["Namespace", "ConfigMap"]


def test_a_dry_run_changes_nothing_and_is_not_recorded(cluster: Cluster, api: FakeApi) -> None:
    written: list[Document] = []

    cluster.recording(written.append).apply([config_map("one")], dry_run=True)

    assert api.names("configmaps") == []
    assert written == []


def test_what_is_not_there_is_none_and_its_deletion_false(cluster: Cluster) -> None:
    assert cluster.get("ConfigMap", "a", "one") is None
    assert cluster.delete("ConfigMap", "a", "one") is False


def test_a_recreated_object_is_not_deleted_for_its_predecessor(
    cluster: Cluster, api: FakeApi
) -> None:
    cluster.apply([config_map("one")])

    with pytest.raises(ClusterError, match="409"):
        cluster.delete("ConfigMap", "a", "one", uid="the uid of its predecessor")

    assert api.names("configmaps") == ["one"]


def test_an_object_without_our_mark_is_refused_and_left_as_it_is(
    cluster: Cluster, api: FakeApi
) -> None:
    theirs = api.put(config_map("one", key="theirs"))

    with pytest.raises(ProfileError, match="ConfigMap: a/one exists and is not hotfire's"):
        cluster.apply([config_map("one", key="ours")])

    assert theirs["data"] == {"key": "theirs"}


def test_an_object_of_another_target_is_not_ours(api: FakeApi) -> None:
    with serving(api) as address:
        connect(address, owner="team-b-system").apply([config_map("one")])

        with pytest.raises(ProfileError, match="is not hotfire's"):
            connect(address).apply([config_map("one")])


def test_what_must_be_new_is_not_created_over_another(cluster: Cluster) -> None:
    cluster.create(config_map("one", key="first"))

    with pytest.raises(Conflict, match="create ConfigMap one: 409"):
        cluster.create(config_map("one", key="second"))


def test_of_two_who_replace_what_both_have_read_one_is_refused(cluster: Cluster) -> None:
    read = cluster.create(config_map("one"))
    cluster.replace(read | {"data": {"key": "first"}})

    with pytest.raises(Conflict, match="409"):
        cluster.replace(read | {"data": {"key": "second"}})

    assert (cluster.get("ConfigMap", "a", "one") or {})["data"] == {"key": "first"}


@pytest.mark.parametrize("uid", [None, "the uid of its predecessor"])
def test_a_namespace_is_deleted_by_its_uid_only(cluster: Cluster, uid: str | None) -> None:
    made = namespaces.create(cluster, "load", run_id="r")

    assert not namespaces.delete(cluster, "load", uid=uid)
    assert cluster.has_namespace("load")

    assert namespaces.delete(cluster, "load", uid=made["metadata"]["uid"])
    assert not cluster.has_namespace("load")


def pod(name: str) -> Document:
    metadata = {"name": name, "namespace": "a", "uid": f"uid of {name}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}


def test_an_evicted_pod_goes_and_a_dry_run_lets_it_stay(cluster: Cluster, api: FakeApi) -> None:
    one, two = (Pod.parse(api.put(pod(name))) for name in ("one", "two"))
    written: list[Document] = []
    cluster = cluster.recording(written.append)

    answers = [cluster.evict(one), cluster.evict(two, dry_run=True)]

    assert [answer.accepted for answer in answers] == [True, True]
    assert api.names("pods") == ["two"]
    assert [(each["verb"], each["name"]) for each in written] == [("evict", "one")]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (429, "Cannot evict pod as it would violate the pod's disruption budget."),
        (500, "This pod has more than one PodDisruptionBudget, which is not supported."),
    ],
)
def test_what_a_budget_answers_is_an_answer(
    cluster: Cluster, api: FakeApi, status: int, said: str
) -> None:
    one = Pod.parse(api.put(pod("one")))
    api.refuse["POST evictions"], api.says["POST evictions"] = status, said

    answer = cluster.evict(one)

    assert (answer.accepted, answer.status, answer.message) == (False, status, said)


@pytest.mark.parametrize("status", [403, 429, 500])
def test_an_eviction_refused_without_a_word_of_budgets_is_an_error(
    cluster: Cluster, api: FakeApi, status: int
) -> None:
    one = Pod.parse(api.put(pod("one")))
    api.refuse["POST evictions"], api.says["POST evictions"] = status, "too busy"

    with pytest.raises(ClusterError, match=f"cannot evict a/one: {status} too busy"):
        cluster.evict(one)


def test_another_pod_of_that_name_is_not_evicted(cluster: Cluster, api: FakeApi) -> None:
    former = Pod.parse(api.put(pod("one")))
    api.objects["v1", "pods", "a", "one"]["metadata"] = {"name": "one", "uid": "its successor's"}

    with pytest.raises(ClusterError, match="409"):
        cluster.evict(former)

    assert api.names("pods") == ["one"]


def test_admission_is_asked_about_without_making_anything(cluster: Cluster, api: FakeApi) -> None:
    written: list[Document] = []

    answer = cluster.recording(written.append).would_admit(pod("one"), namespace="a")

    assert answer.accepted
    assert answer.document["metadata"]["name"] == "one"
    assert (api.names("pods"), written) == ([], [])


def test_a_quota_s_refusal_is_an_answer_and_a_broken_server_s_an_error(
    cluster: Cluster, api: FakeApi
) -> None:
    api.refuse["POST pods"], api.says["POST pods"] = 403, "exceeded quota: team"

    answer = cluster.would_admit(pod("one"), namespace="a")

    assert (answer.status, answer.message, answer.document) == (403, "exceeded quota: team", {})
    api.refuse["POST pods"] = 503
    with pytest.raises(ClusterError, match="503"):
        cluster.would_admit(pod("one"), namespace="a")


def test_a_change_is_asked_about_without_being_made(cluster: Cluster, api: FakeApi) -> None:
    cluster.apply([pod("one")], namespace="a")
    body = {"metadata": {"labels": {"app": "other"}}}

    def asked() -> Answer:
        return cluster.would_admit_change("Pod", "a", "one", body, api_version="v1")

    accepted = asked()
    api.refuse["PATCH pods"], api.says["PATCH pods"] = 422, "sizes differ"
    refused = asked()

    assert accepted.document["metadata"]["labels"]["app"] == "other"
    assert (refused.status, refused.message) == (422, "sizes differ")
    found = cluster.pod("a", "one")
    assert found is not None
    assert found.labels.get("app") != "other"


def test_every_write_is_recorded(cluster: Cluster) -> None:
    written: list[Document] = []
    cluster = cluster.recording(written.append)

    cluster.apply([config_map("one")])
    cluster.patch("ConfigMap", "a", "one", {"data": {"key": "new"}})
    cluster.delete("ConfigMap", "a", "one")

    assert [one["verb"] for one in written] == ["apply", "patch", "delete"]


def test_a_refusal_names_the_status_and_what_was_tried(cluster: Cluster, api: FakeApi) -> None:
    api.refuse["DELETE configmaps"] = 403
    cluster.apply([config_map("one")])

    with pytest.raises(ClusterError, match=r"delete ConfigMap a/one: 403"):
        cluster.delete("ConfigMap", "a", "one")


def test_a_kind_the_cluster_does_not_serve_is_an_error(cluster: Cluster) -> None:
    assert not cluster.serves("Workload", "kueue.x-k8s.io/v1")
    with pytest.raises(ClusterError, match="does not serve"):
        cluster.list("Workload", "a", api_version="kueue.x-k8s.io/v1")


def test_a_silent_api_server_is_an_error_and_no_traceback_of_the_client() -> None:
    with pytest.raises(ClusterError, match="does not answer"):
        connect("http://127.0.0.1:9")


def test_a_log_is_read_to_a_limit_and_never_taken_for_whole_beyond_it(
    cluster: Cluster, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "_LOG_BYTES", 8)
    api.logs = {"terse": b"12345678", "endless": b"123456789" * 1000}

    assert cluster.logs("a", "terse") == "12345678"
    with pytest.raises(ClusterError, match="lines too long to be looked at"):
        cluster.logs("a", "endless")


def test_a_container_tells_how_it_last_ended() -> None:
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    status = {"name": "vllm", "containerID": "containerd://abc", "restartCount": 2}
    document = {
        "metadata": {"namespace": "a", "name": "p", "uid": "u"},
        "status": {"containerStatuses": [{**status, "state": {"running": {}}, "lastState": ended}]},
    }

    container = Pod.parse(document).container("vllm")

    assert container
    assert (container.container_id, container.state, container.restarts) == ("abc", "running", 2)
    assert (container.last_terminated_reason, container.last_exit_code) == ("OOMKilled", 137)


def test_an_endpoint_without_a_ready_condition_counts_as_ready() -> None:
    endpoints = [
        {"addresses": ["10.0.0.1"]},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
    ]

    assert [one.ready for one in serving_endpoints([{"endpoints": endpoints}])] == [True, False]


def test_a_namespace_that_is_ending_is_awaited_before_it_is_made_anew(
    cluster: Cluster, api: FakeApi
) -> None:
    ending = {"name": "load", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": ending})
    assert not cluster.has_namespace("load")
    threading.Timer(0.5, cluster.delete, ("Namespace", None, "load")).start()

    namespaces.create(cluster, "load", run_id="r")

    assert cluster.has_namespace("load")


@pytest.mark.parametrize(("text", "number"), [("2", 2), ("1500m", Decimal("1.5")), ("2Gi", 2**31)])
def test_a_quantity_is_an_exact_number(text: str, number: Decimal) -> None:
    assert quantity(text) == number
