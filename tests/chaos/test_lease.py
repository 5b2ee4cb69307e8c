"""One run at a time, and a kill switch that works from anywhere."""

import subprocess
import sys
import threading
import time

import pytest

from hotfire.chaos import holders
from hotfire.chaos.lease import RunLease
from hotfire.chaos.runner import has_ended, runner_identity
from hotfire.cluster import OWNER_LABEL, Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import until
from tests.chaos.platform import SYSTEM
from tests.fake_api import Document, FakeApi


def hold(
    cluster: Cluster, run_id: str, lost: threading.Event | None = None, *, seconds: float = 60
) -> RunLease:
    on_lost = (lost or threading.Event()).set
    return RunLease(cluster, SYSTEM, run_id=run_id, lease_seconds=seconds, on_lost=on_lost)


def of_another_machine(api: FakeApi) -> None:
    """Make the Lease one whose holder cannot be looked at from here."""
    lease_object(api)["metadata"]["annotations"] = {}


def lease_object(api: FakeApi) -> Document:
    return api.objects["coordination.k8s.io/v1", "leases", SYSTEM, holders.NAME]


def system_namespace(name: str) -> Document:
    metadata = {"name": name, "labels": {OWNER_LABEL: name}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def crash(held: RunLease) -> None:
    """End a holder without its giving the Lease back, as SIGKILL or a power cut does."""
    # A renewal that is under way would be a sign of life.
    held.end_watch()


def test_a_second_run_is_refused_while_the_first_is_alive(cluster: Cluster) -> None:
    refused = r"run one \(.* since .* UTC\) holds this cluster"

    with hold(cluster, "one"), pytest.raises(HarnessError, match=refused):
        hold(cluster, "two").__enter__()


def test_of_two_that_create_at_once_one_is_refused(cluster: Cluster, api: FakeApi) -> None:
    first = hold(cluster, "one")
    api.before["POST leases"] = first.__enter__

    with pytest.raises(HarnessError, match="run one"):
        hold(cluster, "two").__enter__()

    first.__exit__()


def test_of_two_that_take_over_at_once_one_is_refused(cluster: Cluster, api: FakeApi) -> None:
    dead, first = hold(cluster, "dead", seconds=1), hold(cluster, "one")
    dead.__enter__()
    crash(dead)
    of_another_machine(api)
    api.before["PUT leases"] = first.__enter__

    with pytest.raises(HarnessError, match="begin again"):
        hold(cluster, "two").__enter__()

    held = holders.holder(cluster, SYSTEM)
    first.__exit__()
    assert held
    assert held.run_id == "one"


def test_leaving_gives_the_cluster_back(cluster: Cluster) -> None:
    with hold(cluster, "one"):
        pass

    assert holders.holder(cluster, SYSTEM) is None


def test_a_dead_run_does_not_keep_the_cluster(cluster: Cluster, api: FakeApi) -> None:
    dead = hold(cluster, "one", seconds=1)
    dead.__enter__()
    crash(dead)
    of_another_machine(api)

    with hold(cluster, "two"):
        found = holders.holder(cluster, SYSTEM)

    assert found
    assert (found.run_id, found.transitions) == ("two", 1)


@pytest.mark.parametrize("stamp", ["2020-01-01T00:00:00.000000Z", "2120-01-01T00:00:00.000000Z"])
def test_a_clock_that_goes_wrong_makes_nobody_dead_or_alive(
    cluster: Cluster, api: FakeApi, stamp: str
) -> None:
    dead = hold(cluster, "one", seconds=1)
    dead.__enter__()
    crash(dead)
    of_another_machine(api)
    lease_object(api)["spec"]["renewTime"] = stamp
    held = holders.holder(cluster, SYSTEM)
    assert held

    began = time.monotonic()
    assert not holders.is_alive(cluster, held)
    assert time.monotonic() - began >= 1


def test_a_run_of_another_machine_that_renews_is_alive(cluster: Cluster, api: FakeApi) -> None:
    with hold(cluster, "one", seconds=4):
        of_another_machine(api)
        held = holders.holder(cluster, SYSTEM)
        assert held

        assert holders.is_alive(cluster, held)


def test_a_live_run_of_another_target_in_this_cluster_is_not_joined(
    cluster: Cluster, api: FakeApi
) -> None:
    api.put(system_namespace("team-b"))
    other = RunLease(cluster, "team-b", run_id="b", lease_seconds=60, on_lost=lambda: None)

    with other, pytest.raises(HarnessError, match=r"run b \(.*\) holds this cluster; wait"):
        hold(cluster, "one").__enter__()

    assert holders.holder(cluster, SYSTEM) is None


def test_a_lease_of_our_name_in_a_namespace_of_anybody_keeps_no_run_away(
    cluster: Cluster, api: FakeApi
) -> None:
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}})
    other = RunLease(cluster, "tenant", run_id="b", lease_seconds=60, on_lost=lambda: None)

    with other, hold(cluster, "one") as held:
        assert held.token


def test_whoever_may_not_look_at_other_namespaces_still_has_its_own(
    cluster: Cluster, api: FakeApi
) -> None:
    held = hold(cluster, "one")
    api.before["GET leases"] = lambda: api.refuse.update({"GET leases": 403})

    held.__enter__()
    api.refuse.clear()
    held.__exit__()

    assert held.token


def test_the_dead_lease_of_another_target_neither_hinders_nor_goes(
    cluster: Cluster, api: FakeApi
) -> None:
    api.put(system_namespace("team-b"))
    dead = RunLease(cluster, "team-b", run_id="b", lease_seconds=1, on_lost=lambda: None)
    dead.__enter__()
    crash(dead)
    api.objects["coordination.k8s.io/v1", "leases", "team-b", holders.NAME]["metadata"][
        "annotations"
    ] = {}

    with hold(cluster, "one"):
        pass

    assert holders.holder(cluster, "team-b")


def test_each_holder_has_a_greater_token_even_when_the_lease_was_deleted(
    cluster: Cluster,
) -> None:
    with hold(cluster, "one") as first:
        pass
    with hold(cluster, "two") as second:
        holders.release(cluster, SYSTEM)
        with hold(cluster, "three") as third:
            pass

    assert 0 < first.token < second.token < third.token


def test_deleting_the_lease_stops_its_runner(cluster: Cluster) -> None:
    lost = threading.Event()

    with hold(cluster, "one", lost) as held:
        holders.release(cluster, SYSTEM)

        assert lost.wait(10)
        with pytest.raises(HarnessError, match="run one lost its Lease"):
            held.require()


def test_whoever_lost_the_lease_leaves_that_of_its_successor(cluster: Cluster) -> None:
    lost = threading.Event()

    with hold(cluster, "one", lost):
        holders.release(cluster, SYSTEM)
        second = hold(cluster, "two")
        second.__enter__()
        assert lost.wait(10)

    held = holders.holder(cluster, SYSTEM)
    second.__exit__()
    assert held
    assert held.run_id == "two"


def test_a_holder_that_is_cut_off_stops_before_another_may_begin(
    cluster: Cluster, api: FakeApi
) -> None:
    lost = threading.Event()

    with hold(cluster, "one", lost, seconds=4):
        for verb in ("GET", "PUT"):
            api.refuse[f"{verb} leases"] = 503

        assert lost.wait(4)
        api.refuse.clear()


def test_a_label_that_somebody_puts_on_it_is_no_loss(cluster: Cluster) -> None:
    lost = threading.Event()

    with hold(cluster, "one", lost, seconds=4):
        labels = {"metadata": {"labels": {"seen-by": "backup"}}}
        cluster.patch("Lease", SYSTEM, holders.NAME, labels, api_version="coordination.k8s.io/v1")

        assert not lost.wait(5)


def test_a_renewal_never_brings_back_a_deleted_lease(cluster: Cluster) -> None:
    held = hold(cluster, "one")
    with held:
        holders.release(cluster, SYSTEM)

        with pytest.raises(HarnessError, match="404"):
            held._renew()

        assert holders.holder(cluster, SYSTEM) is None


def test_a_runner_that_ended_here_is_dead_even_before_it_is_collected() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = runner_identity(child.pid)
    assert identity is not None
    assert not has_ended(identity)

    child.kill()
    until(lambda: has_ended(identity), within_seconds=10, what="the child's end noticed")

    assert child.returncode is None
    child.communicate()
    assert has_ended(identity)


def test_a_runner_of_another_machine_is_given_its_lease() -> None:
    assert not has_ended("another-boot/4026531836/1/1")
    assert not has_ended("")
