"""A silent API server is waited for where a repetition does no harm, and nowhere else."""

import threading
from collections.abc import Iterator

import pytest

from hotfire.cluster import Cluster
from hotfire.errors import ClusterError
from hotfire.patience import Patience
from hotfire.waiting import until
from tests.chaos.platform import NAMESPACE, Platform, engine_pod
from tests.fake_api import Document, FakeApi, connect, serving

A_RESTART: list[int | str] = ["cut", 503, 500, "cut"]


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def cluster(api: FakeApi) -> Iterator[Cluster]:
    with serving(api) as address:
        yield connect(address, Patience(outage_seconds=20))


def config_map(**data: str) -> Document:
    metadata = {"name": "one", "namespace": "a"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_reading_outlasts_a_restart_of_the_api_server(cluster: Cluster, api: FakeApi) -> None:
    api.put(config_map(key="value"))
    api.troubles["GET configmaps"] = A_RESTART.copy()

    found = cluster.get("ConfigMap", "a", "one")

    assert found
    assert found["data"] == {"key": "value"}
    assert cluster.silent_seconds() > 0


def test_listing_outlasts_it(cluster: Cluster, api: FakeApi) -> None:
    api.put(config_map(key="value"))
    api.troubles["GET configmaps"] = A_RESTART.copy()

    assert len(cluster.list("ConfigMap", "a")) == 1


def test_applying_and_patching_outlast_it(cluster: Cluster, api: FakeApi) -> None:
    api.troubles["PATCH configmaps"] = A_RESTART.copy()
    cluster.apply([config_map(key="value")])
    api.troubles["PATCH configmaps"] = ["lost", 503]

    patched = cluster.patch("ConfigMap", "a", "one", {"data": {"key": "new"}})

    assert patched["data"] == {"key": "new"}


def test_deletion_whose_answer_was_lost_is_done(cluster: Cluster, api: FakeApi) -> None:
    api.put(config_map())
    api.troubles["DELETE configmaps"] = ["lost", 503]

    assert cluster.delete("ConfigMap", "a", "one") is True
    assert api.names("configmaps") == []


def test_repeated_deletion_spares_the_successor(cluster: Cluster, api: FakeApi) -> None:
    api.put(config_map(key="former"))

    def recreated(*_: object) -> None:
        until(lambda: not api.names("configmaps"), within_seconds=10, what="the deletion")
        api.put({**config_map(key="successor"), "metadata": {"name": "one", "namespace": "a"}})

    api.troubles["DELETE configmaps"] = ["lost", 503, 503]
    maker = threading.Thread(target=recreated)
    maker.start()

    assert cluster.delete("ConfigMap", "a", "one") is True
    maker.join(10)
    assert api.names("configmaps") == ["one"]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_refusal_is_an_answer(cluster: Cluster, api: FakeApi, status: int) -> None:
    api.refuse["PATCH configmaps"] = status

    with pytest.raises(ClusterError, match=str(status)):
        cluster.patch("ConfigMap", "a", "one", {})

    assert api.requests.count("PATCH configmaps") == 1


def test_crowded_api_server_is_asked_again_when_it_says(cluster: Cluster, api: FakeApi) -> None:
    api.put(config_map())
    api.retry_after = "1"
    api.troubles["GET configmaps"] = [429]

    assert cluster.get("ConfigMap", "a", "one")
    assert 1 <= cluster.silent_seconds() < 5


def test_far_retry_after_does_not_stretch_patience(api: FakeApi) -> None:
    api.retry_after = "3600"
    api.refuse["GET configmaps"] = 429

    with serving(api) as address, pytest.raises(ClusterError, match="429"):
        connect(address, Patience(outage_seconds=1)).get("ConfigMap", "a", "one")


def test_who_took_the_api_server_away_is_not_kept_waiting(cluster: Cluster, api: FakeApi) -> None:
    api.troubles["GET configmaps"] = A_RESTART.copy()

    with pytest.raises(ClusterError, match="does not answer"):
        cluster.expecting_silence().get("ConfigMap", "a", "one")

    assert api.requests.count("GET configmaps") == 1


def test_deed_is_recorded_once_however_often_it_was_tried(cluster: Cluster, api: FakeApi) -> None:
    written: list[Document] = []
    api.troubles["PATCH configmaps"] = A_RESTART.copy()

    cluster.recording(written.append).apply([config_map()])

    assert len(written) == 1


def test_state_that_lasts_a_moment_is_seen_by_following(cluster: Cluster, api: FakeApi) -> None:
    platform = Platform(api, engines=1)

    with cluster.following_pods(NAMESPACE, {"app": "vllm"}) as followed:
        for ready in (False, True):
            api.put(engine_pod("engine-9", node="n1", ready=ready))
        until(lambda: len(followed.states("engine-9")) == 2, within_seconds=10, what="both states")

    conditions = [one["status"]["conditions"][0] for one in followed.states("engine-9")]
    assert [one["status"] for one in conditions] == ["False", "True"]
    assert followed.states(platform.pod("engine-1")["metadata"]["name"]) == []


def test_following_outlasts_a_silence_without_a_gap(cluster: Cluster, api: FakeApi) -> None:
    with cluster.following_pods(NAMESPACE, {"app": "vllm"}) as followed:
        api.troubles["GET pods"] = ["cut", 503]
        api.put(engine_pod("engine-9", node="n1", ready=False))
        until(lambda: followed.states("engine-9"), within_seconds=10, what="its state")

    assert len(followed.states("engine-9")) == 1


def tried(cluster: Cluster, api: FakeApi, *, repeatable: bool) -> int:
    """Return how often the way to a command was asked for; this API server opens none."""
    with pytest.raises(ClusterError, match="exec true in a/p/c"):
        cluster.exec("a", "p", container="c", argv=["true"], repeatable=repeatable)
    return api.requests.count("GET pods")


def test_command_that_changes_nothing_is_tried_again(cluster: Cluster, api: FakeApi) -> None:
    api.troubles["GET pods"] = ["cut", 503, 429]

    # After these three comes an answer that no patience mends.
    assert tried(cluster, api, repeatable=True) == 4


def test_any_other_command_is_given_once(cluster: Cluster, api: FakeApi) -> None:
    api.troubles["GET pods"] = ["cut", 503]

    assert tried(cluster, api, repeatable=False) == 1


def test_command_in_a_pod_that_is_not_there_is_refused_at_once(
    cluster: Cluster, api: FakeApi
) -> None:
    api.refuse["GET pods"] = 404

    assert tried(cluster, api, repeatable=True) == 1
