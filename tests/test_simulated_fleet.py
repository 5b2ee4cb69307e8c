"""What a bench puts into a cluster for its size is gone afterwards, whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import fleet
from bench.simulated import ENGINES, NAMESPACE, Fleet
from hotfire import TargetProfile
from hotfire.errors import HarnessError
from tests.chaos.platform import profile_for
from tests.fake_api import Document, FakeApi, serving
from tests.meanwhile import meanwhile

NODES = 3


@contextmanager
def played(api: FakeApi) -> Iterator[None]:
    """Have what kwok and the controllers do to the objects, until the end."""

    def play() -> None:
        with api.lock:
            for document in list(api.objects.values()):
                PLAYED.get(document["kind"], _nothing)(api, document)

    with meanwhile(play):
        yield


def _nothing(_api: FakeApi, _document: Document) -> None:
    return


def _become_ready(_api: FakeApi, document: Document) -> None:
    document.setdefault("status", {})["conditions"] = [{"type": "Ready", "status": "True"}]


def _get_account(api: FakeApi, document: Document) -> None:
    name = document["metadata"]["name"]
    if name == NAMESPACE and "default" not in api.names("serviceaccounts"):
        metadata = {"name": "default", "namespace": name}
        api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})


def _get_replica_set(api: FakeApi, document: Document) -> None:
    labels = document["spec"]["template"]["metadata"]["labels"] | {"pod-template-hash": "abc"}
    name = f"{document['metadata']['name']}-abc"
    if name not in api.names("replicasets"):
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        api.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata})
    document["status"] = {"readyReplicas": len(api.names("pods"))}


PLAYED = {
    "Namespace": _get_account,
    "Node": _become_ready,
    "Pod": _become_ready,
    "Deployment": _get_replica_set,
}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def profile(api: FakeApi, tmp_path: Path) -> Iterator[TargetProfile]:
    with serving(api) as address, played(api):
        yield profile_for(tmp_path, address)


def test_every_engine_stands_on_a_node_and_belongs_to_a_deployment(
    api: FakeApi, profile: TargetProfile
) -> None:
    with fleet.standing(profile, NODES):
        pods = [one for one in api.objects.values() if one["kind"] == "Pod"]
        nodes, owners = api.names("nodes"), api.names("replicasets")

    assert nodes == Fleet(NODES).names()
    assert sorted(one["spec"]["nodeName"] for one in pods) == sorted(ENGINES * nodes)
    assert {one["metadata"]["ownerReferences"][0]["name"] for one in pods} == {*owners}


def test_nothing_is_left_after_an_interrupt(api: FakeApi, profile: TargetProfile) -> None:
    before = set(api.objects)

    with pytest.raises(KeyboardInterrupt), fleet.standing(profile, NODES):
        raise KeyboardInterrupt

    assert set(api.objects) == before


def test_a_namespace_of_that_name_is_left_alone(api: FakeApi, profile: TargetProfile) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

    with (
        pytest.raises(HarnessError, match="is there already"),
        fleet.standing(profile, NODES),
    ):
        pass

    assert NAMESPACE in api.names("namespaces")
