"""Thousands of nodes and pods are read page by page, once for all who only read them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.simulated import ENGINES, NAMESPACE, REPLICAS, RESOURCE, Fleet
from fixtures.probed_nodes import sample
from fixtures.survey import Snapshot, Survey
from hotfire import Evidence, TargetProfile
from hotfire.cluster import Node
from hotfire.discovery.found import Found, look_around
from hotfire.discovery.target_file import Origin, target_file
from hotfire.doctor.engines import engines
from hotfire.doctor.permissions import Needs
from hotfire.doctor.platform import nodes
from hotfire.doctor.site import Site
from suites.scheduling.test_serving_and_batch_work_keep_to_their_own_pools import Described
from tests.chaos.platform import profile_for
from tests.fake_api import Document, FakeApi, connect, serving

NODES = 5000
PAGE = 500
RACK = "topology.kubernetes.io/zone"


def ready(document: Document) -> Document:
    """Return an object that is Ready; a node's images would only make the test slow."""
    status = document.get("status", {}) | {"conditions": [{"type": "Ready", "status": "True"}]}
    return document | {"status": {**status, "images": []}}


def owned(document: Document, kind: str, name: str) -> Document:
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": True}
    metadata = document["metadata"] | {"ownerReferences": [reference | {"uid": f"of {name}"}]}
    return document | {"metadata": metadata}


def documents(fleet: Fleet) -> Iterator[Document]:
    yield from map(ready, fleet.node_documents())
    for one in fleet.deployments():
        name = one["metadata"]["name"]
        yield one
        metadata = {**one["metadata"], "name": f"{name}-abc"}
        yield owned(one | {"kind": "ReplicaSet", "metadata": metadata}, "Deployment", name)
    for model, pod in fleet.pods():
        yield ready(owned(pod, "ReplicaSet", f"{model}-abc"))


@pytest.fixture(scope="module")
def large() -> FakeApi:
    """A cluster of 5,000 nodes; it is only read."""
    api = FakeApi()
    for number, document in enumerate(documents(Fleet(NODES))):
        metadata = document["metadata"] | {"uid": str(number)}
        plural = f"{document['kind'].lower()}s"
        place = (document["apiVersion"], plural, metadata.get("namespace", ""), metadata["name"])
        # Nobody watches: an object of whose states none are told takes a tenth of the time.
        api.objects[place] = document | {"metadata": metadata}
    return api


@pytest.fixture
def asked(large: FakeApi) -> Callable[[], Counter[str]]:
    """How often each kind was asked for since the test began."""
    large.requests.clear()
    return lambda: Counter(large.requests)


@pytest.fixture
def address(large: FakeApi) -> Iterator[str]:
    with serving(large) as address:
        yield address


@pytest.fixture
def profile(tmp_path: Path, address: str) -> TargetProfile:
    found = profile_for(tmp_path, address)
    selector = {"app": "simulated-engine"}
    engine = found.engine.model_copy(update={"selector": selector})
    return found.model_copy(update={"namespace": NAMESPACE, "engine": engine})


def evidence(folder: Path) -> Evidence:
    folder.mkdir()
    return Evidence(folder)


def test_many_cases_that_only_read_share_one_list_of_each_kind(
    address: str, profile: TargetProfile, asked: Callable[[], Counter[str]], tmp_path: Path
) -> None:
    snapshot = Snapshot(connect(address), profile)
    surveys = [Survey(snapshot, evidence(tmp_path / str(case))) for case in range(3)]

    seen = {(len(survey.nodes()), len(survey.engines())) for survey in surveys}

    assert seen == {(NODES, NODES * ENGINES)}
    assert asked() == {"GET nodes": NODES // PAGE, "GET pods": NODES * ENGINES // PAGE}


def test_each_case_that_shares_a_list_tells_when_it_was_made(
    address: str, profile: TargetProfile, tmp_path: Path
) -> None:
    snapshot = Snapshot(connect(address), profile)
    first, second = (evidence(tmp_path / str(case)) for case in range(2))

    Survey(snapshot, first).nodes()
    Survey(snapshot, second).nodes()

    assert first.observations == second.observations != {}


@pytest.fixture(scope="module")
def looked(large: FakeApi) -> tuple[Found, Counter[str]]:
    """What `hotfire init` sees, and how often it asked for each kind."""
    with serving(large) as address:
        cluster = connect(address)
        large.requests.clear()
        return look_around(cluster, None), Counter(large.requests)


def test_init_asks_for_pages_and_not_for_each_workload(
    looked: tuple[Found, Counter[str]],
) -> None:
    found, asked = looked

    assert len(found.holders) == NODES * ENGINES // REPLICAS
    assert {one.owners[-1].kind for one in found.holders} == {"Deployment"}
    assert asked["GET replicasets"] == 1
    assert max(asked.values()) == asked["GET pods"] == NODES * ENGINES // PAGE


def test_what_init_writes_is_as_short_as_for_a_small_cluster(
    looked: tuple[Found, Counter[str]],
) -> None:
    text = target_file(looked[0], Origin())

    assert len(text.splitlines()) < 60
    assert "more workloads look like an engine, too" in text


def test_the_doctor_tells_of_thousands_on_one_screen(address: str, profile: TargetProfile) -> None:
    engine = profile.engine.model_copy(update={"selector": {"model": "model-000"}})
    target = profile.model_copy(update={"engine": engine})
    nothing = Needs(api=frozenset(), fixtures=frozenset())
    site = Site(profile=target, cluster=connect(address), units={}, every_run=nothing)

    told = [one.seen for one in (*engines(site), *nodes(site))]

    assert len(told) < 12
    assert "so do 96 more workloads" in told
    assert f"{NODES} offer {RESOURCE}, of which checks probe 32" in told[-1]


def test_pods_with_the_same_owner_are_looked_up_once(
    address: str, asked: Callable[[], Counter[str]], large: FakeApi
) -> None:
    pods = [one for one in large.objects.values() if one["kind"] == "Pod"][: 2 * REPLICAS]
    described = Described(connect(address), [node("n1", "rack-1")])

    found = [described.of(pod) for pod in pods]

    assert {one.owners for one in found} == {("ReplicaSet", "Deployment")}
    assert {one.nodes for one in found} == {("n1",)}
    assert asked() == {"GET replicasets": 2, "GET deployments": 2}


def node(name: str, rack: str) -> Node:
    metadata = {"name": name, "uid": name, "labels": {RACK: rack, RESOURCE: "true"}}
    return Node.parse({"metadata": metadata})


def test_a_sample_takes_as_many_nodes_of_each_rack() -> None:
    racks = [node(f"n{number:02}", f"rack-{number // 10}") for number in range(30)]

    chosen = sample(racks, 6, RACK)

    assert Counter(one.labels[RACK] for one in chosen) == dict.fromkeys(
        ("rack-0", "rack-1", "rack-2"), 2
    )
    assert sample(list(reversed(racks)), 6, RACK) == chosen


def test_where_there_are_few_nodes_all_are_probed() -> None:
    few = [node(f"n{number}", "rack-1") for number in range(3)]

    assert sample(few, 32, RACK) == few
