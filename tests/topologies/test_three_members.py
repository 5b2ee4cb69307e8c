"""A control plane of three members keeps answering, and only through members that are ready."""

import http.client
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hotfire.errors import LabError
from hotfire.lab import netns, readiness
from hotfire.lab.control_plane import server
from hotfire.lab.lab import Lab
from hotfire.lab.progress import Progress
from hotfire.lab.topology import API_ADDRESS, Topology
from hotfire.waiting import until

pytestmark = pytest.mark.lab

TOPOLOGY = Topology(control_planes=3)
MEMBERS = [member.name for member in TOPOLOGY.members]
RECOVERY_SECONDS = 40.0


@pytest.fixture(scope="module")
def lab(empty_lab: Lab) -> Lab:
    empty_lab.up(TOPOLOGY, Progress(print))
    return empty_lab


@pytest.fixture(autouse=True)
def sound(lab: Lab) -> Iterator[None]:
    """Every member announces the address before a test and again after it."""
    until(lambda: announcers(lab) == MEMBERS, within_seconds=60, what="three members announcing")
    yield
    for member in MEMBERS:
        for service in ("etcd", "kube-apiserver"):
            lab.rack.release(member, service)


def announcers(lab: Lab) -> list[str]:
    """Return the members a router sends the API's clients to."""
    shown = lab.rack.run("r1", ["ip", "route", "show", API_ADDRESS])
    return sorted(re.findall(r"dev (cp\d)", shown))


def api_writes(lab: Lab) -> bool:
    """Return whether the API takes a write from outside."""
    try:
        lab.kubectl().run(
            *("annotate", "namespace", "default", "written=yes", "--overwrite"),
            "--request-timeout=3s",
            within_seconds=10,
        )
    except LabError:
        return False
    return True


def api_servers(lab: Lab, member: str) -> list[str]:
    """Return the process ids of the member's API server: none while it is down."""
    found = ["sh", "-c", "pidof kube-apiserver || true"]
    return lab.rack.run(member, found).split()


def port_is_open(member: str, lab: Lab) -> bool:
    """Return whether the member's API server still takes connections."""
    machine = TOPOLOGY.machine(member)
    context = ssl.create_default_context(cafile=str(lab.state.pki / "ca.crt"))
    with netns.inside(TOPOLOGY.client.network_namespace):
        connection = http.client.HTTPSConnection(machine.address, 6443, timeout=3, context=context)
        connection.connect()
    connection.close()
    return True


def test_address_is_announced_by_every_ready_member_and_by_both_routers(lab: Lab) -> None:
    shown = lab.rack.run("client", ["ip", "route", "show", API_ADDRESS])

    assert announcers(lab) == MEMBERS
    assert {"up1", "up2"} <= set(re.findall(r"dev (up\d)", shown))


def test_member_that_listens_but_is_not_ready_gets_no_clients(lab: Lab) -> None:
    lab.rack.hold("cp2", "etcd")

    until(lambda: "cp2" not in announcers(lab), within_seconds=20, what="cp2 withdrawn")

    assert announcers(lab) == ["cp1", "cp3"]
    assert port_is_open("cp2", lab)
    assert api_writes(lab)


def test_without_a_quorum_nobody_writes_and_with_it_all_is_well_again(lab: Lab) -> None:
    for member in ("cp1", "cp3"):
        lab.rack.hold(member, "etcd")
    until(lambda: announcers(lab) == [], within_seconds=30, what="no member announcing")
    wrote = api_writes(lab)
    for member in ("cp1", "cp3"):
        lab.rack.release(member, "etcd")

    assert not wrote
    until(lambda: api_writes(lab), within_seconds=RECOVERY_SECONDS, what="writes again")


def test_killed_api_server_is_started_again_and_clients_go_on(lab: Lab) -> None:
    former = api_servers(lab, "cp1")
    lab.rack.run("cp1", ["kill", "-9", *former])

    until(lambda: api_writes(lab), within_seconds=10, what="writes through the others")
    until(
        lambda: set(api_servers(lab, "cp1")) - set(former),
        within_seconds=RECOVERY_SECONDS,
        what="another API server on cp1",
    )
    until(lambda: announcers(lab) == MEMBERS, within_seconds=40, what="cp1 announcing again")
    assert former


@pytest.mark.parametrize(
    ("handle", "how"),
    [("cp2/etcd", "stop"), ("cp2/kube-apiserver", "stop"), ("cp2/kube-apiserver", "hang")],
)
def test_broken_member_is_proven_by_its_own_word_and_by_the_routers(
    lab: Lab, handle: str, how: str
) -> None:
    argv = [sys.executable, "-m", "hotfire", "lab"]

    broken = subprocess.run(
        [*argv, "break", handle, "--how", how], capture_output=True, text=True, check=False
    )
    left = announcers(lab)
    mended = subprocess.run([*argv, "mend", handle], capture_output=True, text=True, check=False)

    assert re.search(r"/readyz of cp2, asked by the client, not ok [\d.]+ s later", broken.stdout)
    assert re.search(r"clients to cp1 and cp3 [\d.]+ s later", broken.stdout)
    assert left == ["cp1", "cp3"]
    assert mended.returncode == 0, mended.stderr


@pytest.mark.parametrize("component", ["kube-controller-manager", "kube-scheduler"])
def test_lost_leader_is_replaced_by_another_member(lab: Lab, component: str) -> None:
    def holder() -> str:
        shown = lab.kubectl().run("get", "lease", component, "--namespace=kube-system", "-ojson")
        identity: str = json.loads(shown)["spec"]["holderIdentity"]
        return identity.split("_", maxsplit=1)[0]

    leader = holder()
    lab.rack.hold(leader, component)
    try:
        until(lambda: holder() != leader, within_seconds=45, what=f"another {component}")
    finally:
        lab.rack.release(leader, component)


def test_pods_reach_the_api_under_its_service_address(lab: Lab) -> None:
    shown = lab.kubectl().run("get", "endpointslices", "--namespace=default", "-ojson")

    slices = json.loads(shown)["items"]

    addresses = [one["addresses"] for each in slices for one in each["endpoints"]]
    assert addresses == [[API_ADDRESS]]


def test_workers_ask_no_single_member(lab: Lab) -> None:
    for worker in TOPOLOGY.workers:
        assert server() in (lab.state.pki / worker.name / f"{worker.name}.conf").read_text()


def test_nodes_stay_ready_when_a_member_loses_power(lab: Lab) -> None:
    # The last of this module: the member stays off.
    lab.rack.cut_power("cp3")

    until(lambda: announcers(lab) == ["cp1", "cp2"], within_seconds=20, what="cp3 withdrawn")

    assert api_writes(lab)
    readiness.wait_nodes(TOPOLOGY, lab.kubectl())
