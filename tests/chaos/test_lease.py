"""One run at a time, and a kill switch that works from anywhere."""

import subprocess
import sys
import threading

import pytest

from hotfire.chaos import lease
from hotfire.chaos.lease import RunLease
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import until
from tests.chaos.platform import SYSTEM
from tests.fake_api import FakeApi


def hold(cluster: Cluster, run_id: str, lost: threading.Event | None = None) -> RunLease:
    on_lost = (lost or threading.Event()).set
    return RunLease(cluster, SYSTEM, run_id=run_id, lease_seconds=60, on_lost=on_lost)


def test_a_second_run_is_refused_while_the_first_is_alive(cluster: Cluster) -> None:
    with hold(cluster, "one"), pytest.raises(HarnessError, match="run one holds this cluster"):
        hold(cluster, "two").__enter__()


def test_leaving_gives_the_cluster_back(cluster: Cluster) -> None:
    with hold(cluster, "one"):
        pass

    assert lease.holder(cluster, SYSTEM) is None


def test_a_dead_run_does_not_keep_the_cluster(cluster: Cluster, api: FakeApi) -> None:
    with hold(cluster, "one"):
        held = api.objects["coordination.k8s.io/v1", "leases", SYSTEM, lease.NAME]
        held["spec"]["renewTime"] = "2020-01-01T00:00:00.000000Z"

        with hold(cluster, "two"):
            found = lease.holder(cluster, SYSTEM)

    assert found
    assert found.run_id == "two"


def test_deleting_the_lease_stops_its_runner(cluster: Cluster) -> None:
    lost = threading.Event()

    with hold(cluster, "one", lost):
        lease.release(cluster, SYSTEM)

        assert lost.wait(10)


def test_a_renewal_never_brings_back_a_deleted_lease(cluster: Cluster) -> None:
    held = hold(cluster, "one")
    with held:
        lease.release(cluster, SYSTEM)

        with pytest.raises(HarnessError, match="404"):
            held._renew()

        assert lease.holder(cluster, SYSTEM) is None


def test_a_runner_that_ended_here_is_dead_even_before_it_is_collected() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = lease.runner_identity(child.pid)
    assert identity is not None
    assert not lease.has_ended(identity)

    child.kill()
    until(lambda: lease.has_ended(identity), within_seconds=10, what="the child's end noticed")

    assert child.returncode is None
    child.communicate()
    assert lease.has_ended(identity)


def test_a_runner_of_another_machine_is_given_its_lease() -> None:
    assert not lease.has_ended("another-boot/4026531836/1/1")
    assert not lease.has_ended("")
