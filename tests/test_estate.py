"""Only what is recorded by uid is hotfire's; whatever else bears a name of ours is left alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.deployment import deploy
from hotfire.cluster import OWNER_LABEL, RUN_LABEL, Cluster, Estate
from hotfire.cluster.estate import MADE_LABEL
from hotfire.errors import HarnessError, ProfileError
from hotfire.gateway import Gateway
from hotfire.profile import Budgets, Engine, TargetProfile
from tests.fake_api import Document, FakeApi, connect, serving

SYSTEM = "hotfire-system"
PRIORITY_CLASS = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 1,
}
SERVICE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "engine"}}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def cluster(api: FakeApi) -> Iterator[Cluster]:
    with serving(api) as address:
        yield connect(address)


@pytest.fixture
def estate(cluster: Cluster) -> Estate:
    found = Estate(cluster, SYSTEM, run_id="r")
    found.open()
    return found


def profile(**changes: object) -> TargetProfile:
    fields = {"gateway": Gateway(url="http://10.0.0.1"), "engine": Engine(model="m"), **changes}
    return TargetProfile(name="t", budgets=Budgets(), **fields)  # type: ignore[arg-type]


def foreign(api: FakeApi, name: str, **labels: str) -> Document:
    metadata = {"name": name, "labels": labels}
    return api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def writes(api: FakeApi) -> list[str]:
    return [one for one in api.requests if not one.startswith("GET")]


def test_a_namespace_that_was_there_is_refused_in_one_line_and_not_touched(
    api: FakeApi, estate: Estate
) -> None:
    before = foreign(api, "prod", team="payments")

    with pytest.raises(ProfileError) as refused:
        estate.namespace("prod")

    assert str(refused.value) == (
        "namespace: prod exists and is not hotfire's; name another, or set stack.deploy: false"
    )
    assert api.objects["v1", "namespaces", "", "prod"] == before
    assert before["metadata"]["labels"] == {"team": "payments"}


def test_our_labels_do_not_make_it_ours(api: FakeApi, estate: Estate) -> None:
    foreign(api, "prod", **{RUN_LABEL: "r", OWNER_LABEL: SYSTEM})

    with pytest.raises(ProfileError, match="prod exists and is not hotfire's"):
        estate.namespace("prod")


def test_one_that_is_made_at_the_same_moment_is_refused_too(api: FakeApi, estate: Estate) -> None:
    api.before["POST namespaces"] = lambda: foreign(api, "prod")

    with pytest.raises(ProfileError, match="prod exists and is not hotfire's"):
        estate.namespace("prod")

    assert {one.name for one in estate.made()} == {SYSTEM}


def test_of_two_that_make_the_system_namespace_at_once_both_have_it(
    api: FakeApi, cluster: Cluster
) -> None:
    first, second = Estate(cluster, SYSTEM, run_id="1"), Estate(cluster, SYSTEM, run_id="2")
    api.before["POST namespaces"] = first.open

    assert not second.open()

    assert [one.run_id for one in second.made()] == ["1"]


def test_what_an_earlier_run_kept_is_used_again(cluster: Cluster, estate: Estate) -> None:
    made = estate.namespace("stack")

    later = Estate(cluster, SYSTEM, run_id="later")

    assert not later.open()
    assert later.namespace("stack").uid == made.uid


def test_what_was_made_by_one_who_died_before_noting_its_uid_is_known_by_its_nonce(
    api: FakeApi, cluster: Cluster, estate: Estate
) -> None:
    # The second write of the record, that of the uid, is the one that fails.
    api.before["POST namespaces"] = lambda: api.refuse.update({"PATCH configmaps": 500})
    with pytest.raises(HarnessError, match="500"):
        estate.namespace("stack")
    api.refuse.clear()

    later = Estate(cluster, SYSTEM, run_id="later")
    for made in [one for one in later.made() if one.name == "stack"]:
        later.remove(made)

    assert api.names("namespaces") == [SYSTEM, "kube-system"]


def test_only_the_very_object_is_deleted(api: FakeApi, estate: Estate) -> None:
    made = estate.namespace("stack")
    api.remove(("v1", "namespaces", "", "stack"))
    foreign(api, "stack", **{OWNER_LABEL: SYSTEM})

    assert not estate.delete(made)

    assert "stack" in api.names("namespaces")


def test_nobody_looks_twice_for_what_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    journal = tmp_path / "made.jsonl"
    estate = Estate(cluster, SYSTEM, run_id="r", journal=journal)
    estate.open()
    estate.remove(estate.namespace("stack"))
    estate.close()

    assert Estate(cluster, SYSTEM, run_id="", journals=[journal]).made() == []


def test_a_forged_record_deletes_nothing_that_bears_no_mark(
    api: FakeApi, cluster: Cluster, estate: Estate
) -> None:
    made = estate.namespace("stack")
    prod = foreign(api, "prod", team="payments")
    forged = made.model_copy(update={"name": "prod", "uid": prod["metadata"]["uid"]})

    assert not estate.delete(forged)

    assert "prod" in api.names("namespaces")


def test_a_priority_class_of_somebody_else_is_refused_before_anything_is_made(
    api: FakeApi, cluster: Cluster, estate: Estate
) -> None:
    api.put({**PRIORITY_CLASS, "metadata": {"name": "urgent"}})
    before = len(writes(api))

    with pytest.raises(ProfileError, match="PriorityClass: urgent exists and is not hotfire's"):
        deploy(cluster, profile(), estate, [SERVICE, PRIORITY_CLASS])

    assert writes(api)[before:] == []


def test_what_is_deployed_is_recorded_with_its_uid_here_and_in_the_cluster(
    api: FakeApi, cluster: Cluster, tmp_path: Path
) -> None:
    estate = Estate(cluster, SYSTEM, run_id="r", journal=tmp_path / "made.jsonl")
    estate.open()

    deploy(cluster, profile(), estate, [SERVICE, PRIORITY_CLASS])

    uids = {
        one["metadata"]["uid"]
        for (_, kind, _, _), one in api.objects.items()
        if kind in {"namespaces", "priorityclasss"}
    }
    uids -= {cluster.uid()}
    from_disk = Estate(cluster, SYSTEM, run_id="", journals=[tmp_path / "made.jsonl"])
    assert {one.uid for one in Estate(cluster, SYSTEM, run_id="").made()} == uids
    api.remove(("v1", "namespaces", "", SYSTEM))
    assert {one.uid for one in from_disk.made()} == uids


def test_the_system_namespace_goes_once_nothing_in_it_is_needed(
    api: FakeApi, cluster: Cluster, estate: Estate
) -> None:
    made = estate.namespace("stack")
    undo = {"name": "u", "namespace": SYSTEM, "labels": {"hotfire.dev/undo": "true"}}
    stayed = [estate.close()]
    estate.remove(made)
    cluster.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": undo}])
    stayed.append(estate.close())
    cluster.delete("ConfigMap", SYSTEM, "u")

    assert stayed == [False, False]
    assert estate.close()
    assert SYSTEM not in api.names("namespaces")


def test_a_system_namespace_made_beforehand_is_used_and_stays(
    api: FakeApi, cluster: Cluster
) -> None:
    foreign(api, SYSTEM, **{OWNER_LABEL: SYSTEM})
    estate = Estate(cluster, SYSTEM, run_id="r")

    assert not estate.open()
    assert not estate.close()

    assert SYSTEM in api.names("namespaces")


def test_a_record_that_cannot_be_read_names_nothing(api: FakeApi, estate: Estate) -> None:
    estate.namespace("stack")
    metadata = {"name": "hotfire-made-x", "namespace": SYSTEM, "labels": {MADE_LABEL: "true"}}
    api.put(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"made.json": "{"}}
    )

    assert {one.name for one in estate.made()} == {SYSTEM, "stack"}
