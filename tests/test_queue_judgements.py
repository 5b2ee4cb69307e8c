"""Which queues of a target lend to each other, and which groups fit where."""

from collections.abc import Iterator

import pytest

from fixtures.queues import API, lendings
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from suites.scheduling.test_groups_stay_within_a_node_or_a_rack import Room
from tests.fake_api import KINDS, FakeApi, connect, serving
from tests.foreign_cluster import put

GPU = "nvidia.com/gpu"
RECLAIM = {"reclaimWithinCohort": "Any"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setitem(KINDS, API, {"ClusterQueue": False})
    return FakeApi()


@pytest.fixture
def cluster(api: FakeApi) -> Iterator[Cluster]:
    with serving(api) as address:
        yield connect(address)


def have(api: FakeApi, name: str, *, cohort: str = "teams", **row: str) -> None:
    """Have a queue with one row of accelerators."""
    resources = [{"name": GPU, "nominalQuota": "2", **row}]
    groups = [{"coveredResources": [GPU], "flavors": [{"name": "gpus", "resources": resources}]}]
    spec = {"cohortName": cohort, "resourceGroups": groups, "preemption": RECLAIM}
    put(api, "ClusterQueue", API, name, spec=spec)


def test_two_queues_of_the_same_rules_are_one_lending(api: FakeApi, cluster: Cluster) -> None:
    have(api, "product", borrowingLimit="1")
    have(api, "research", borrowingLimit="1")

    [found] = lendings(cluster, GPU)

    assert found.borrower.limited
    assert found.owner.preemption == RECLAIM
    assert {found.borrower.name, found.owner.name} == {"product", "research"}


def test_a_queue_without_a_limit_is_a_lending_of_its_own(api: FakeApi, cluster: Cluster) -> None:
    have(api, "product", borrowingLimit="1")
    have(api, "research")

    found = {str(one): one.borrower.limited for one in lendings(cluster, GPU)}

    assert found == {"product borrowing of research": True, "research borrowing of product": False}


@pytest.mark.parametrize(
    "second",
    [
        {"cohort": "others"},
        {"lendingLimit": "0", "borrowingLimit": "0"},
        {"nominalQuota": "0", "borrowingLimit": "0"},
    ],
)
def test_queues_that_share_nothing_are_told(
    second: dict[str, str], api: FakeApi, cluster: Cluster
) -> None:
    have(api, "product", borrowingLimit="0")
    have(api, "research", **second)
    have(api, "hotfire-scratch-1-borrower", borrowingLimit="5")

    with pytest.raises(HarnessError, match=f"of 2 ClusterQueues no two share {GPU}"):
        lendings(cluster, GPU)


def test_who_may_only_lend_borrows_nothing(api: FakeApi, cluster: Cluster) -> None:
    have(api, "product", borrowingLimit="0")
    have(api, "research", nominalQuota="0", borrowingLimit="2")

    [found] = lendings(cluster, GPU)

    assert str(found) == "research borrowing of product"


ROOM = Room(
    flavor="gpus",
    free={"n1": 2, "n2": 1, "n3": 2},
    racks={"n1": "rack-1", "n2": "rack-1", "n3": "rack-2"},
)


@pytest.mark.parametrize(("level", "fitting", "too_large"), [("node", 2, 3), ("rack", 3, 4)])
def test_group_fills_a_node_or_is_just_too_large_for_one(
    level: str, fitting: int, too_large: int
) -> None:
    assert ROOM.fitting(level) == fitting
    assert ROOM.too_large(level) == too_large


def test_groups_that_cannot_be_seen_to_be_split_are_told() -> None:
    single = Room(flavor="gpus", free={"n1": 2}, racks={"n1": "rack-1"})

    with pytest.raises(HarnessError, match="fits no rack"):
        single.fitting("rack")
    with pytest.raises(HarnessError, match="are in one node"):
        single.too_large("node")
