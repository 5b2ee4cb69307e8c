"""Which queues lend to each other, whether they give back, and which groups fit where."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.queues import API, JOBS, Queues, lendings
from fixtures.scratch import Scratch
from hotfire.cluster import Cluster, Estate
from hotfire.errors import HarnessError
from hotfire.evidence import Evidence
from hotfire.profile import TargetProfile
from suites.scheduling.test_gangs_start_completely_or_not_at_all import version
from suites.scheduling.test_groups_stay_within_a_node_or_a_rack import Room
from suites.scheduling.test_team_queues_lend_and_return_accelerators import StandIns, check_return
from tests.fake_api import KINDS, FakeApi, connect, serving
from tests.foreign_cluster import put

GPU = "nvidia.com/gpu"
RECLAIM = {"reclaimWithinCohort": "Any"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setitem(KINDS, API, {"ClusterQueue": False})
    monkeypatch.setitem(KINDS, JOBS, {"Job": True})
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


PROFILE = TargetProfile.model_validate(
    {
        "name": "miniature", "gateway": {"url": "http://10.0.0.1"}, "engine": {"model": "tiny"},
        "budgets": {}, "waits": {"reclaim_seconds": 0.1},
    }
)  # fmt: skip
SCRATCH = "hotfire-scratch-1"


@pytest.fixture
def both(api: FakeApi, cluster: Cluster) -> StandIns:
    """Stand-ins for two queues; nobody admits what is handed in to them."""
    have(api, "product", borrowingLimit="1")
    have(api, "research", borrowingLimit="1")
    scratch = Scratch(cluster, PROFILE, SCRATCH)
    queues = Queues(cluster, PROFILE, Estate(cluster, "hotfire-system", run_id="x"), scratch)
    [lending] = lendings(cluster, GPU)
    return StandIns(
        queues=queues, flavor="gpus", lending=lending, borrower="borrower", owner="owner"
    )


def holding(api: FakeApi, **pods: int) -> None:
    """Have so many pods of each queue hold an accelerator."""
    for queue, count in pods.items():
        for number in range(count):
            put(
                api, "Pod", "v1", f"{queue}-{number}", namespace=SCRATCH,
                labels={"hotfire-queue": queue}, spec={"nodeName": "n1"},
            )  # fmt: skip


@pytest.mark.parametrize(("borrower", "owner"), [(2, 1), (2, 2), (1, 1), (0, 2)])
def test_an_owner_that_waits_or_a_borrower_with_too_much_or_too_little_fails(
    borrower: int, owner: int, api: FakeApi, cluster: Cluster, both: StandIns, tmp_path: Path
) -> None:
    holding(api, borrower=borrower, owner=owner)

    with pytest.raises(AssertionError, match="1 left to the borrower and 2 with their owner"):
        check_return(PROFILE, cluster, both, Evidence(tmp_path))


def test_an_owner_with_its_own_passes(
    api: FakeApi, cluster: Cluster, both: StandIns, tmp_path: Path
) -> None:
    holding(api, borrower=1, owner=2)

    check_return(PROFILE, cluster, both, Evidence(tmp_path))


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


def test_where_gangs_are_kueue_s_alone_nobody_asks_for_a_pod_group(cluster: Cluster) -> None:
    assert version(cluster) is None


def test_gangs_of_nothing_that_is_known_here_are_told(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(KINDS, API)

    with pytest.raises(HarnessError, match=r"serves no PodGroup of .* or ClusterQueue of"):
        version(cluster)
