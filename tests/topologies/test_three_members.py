"""A control plane of three members keeps answering, and only through members that are ready."""

import http.client
import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from hotfire.errors import LabError
from hotfire.lab.cluster import readiness
from hotfire.lab.handles import breaking
from hotfire.lab.lab import Lab
from hotfire.lab.machine.control_plane import server
from hotfire.lab.network import netns
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import API_ADDRESS, Topology
from hotfire.waiting import until
from tests.breaking import broken, hotfire

pytestmark = pytest.mark.lab

TOPOLOGY = Topology(control_planes=3)
MEMBERS = [member.name for member in TOPOLOGY.members]
RECOVERY_SECONDS = 60.0


@pytest.fixture(scope="module")
def lab(empty_lab: Lab) -> Lab:
    empty_lab.up(TOPOLOGY, Progress(print))
    return empty_lab


@pytest.fixture(autouse=True)
def sound(lab: Lab) -> Iterator[None]:
    """Every member announces the address before a test and again after it."""
    await_announcers(lab, MEMBERS)
    yield
    for member in MEMBERS:
        for service in ("etcd", "kube-apiserver"):
            lab.rack.release(member, service)
    if breaking.of_lab(lab).all():
        hotfire("mend")


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


@contextmanager
def connected(lab: Lab, member: str) -> Iterator[http.client.HTTPSConnection]:
    """Give a connection of the client machine to one member's own API server."""
    machine = TOPOLOGY.machine(member)
    context = ssl.create_default_context(cafile=str(lab.state.pki / "ca.crt"))
    with netns.inside(TOPOLOGY.client.network_namespace):
        connection = http.client.HTTPSConnection(machine.address, 6443, timeout=5, context=context)
        connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def is_ready(lab: Lab, member: str) -> bool:
    """Return whether the member's own API server says so."""
    try:
        with connected(lab, member) as connection:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def await_writes(lab: Lab) -> None:
    """Wait until the API takes a write; its members may have a leader to elect."""
    until(lambda: api_writes(lab), within_seconds=RECOVERY_SECONDS, what="writes")


def await_announcers(lab: Lab, members: list[str]) -> None:
    what = f"{' and '.join(members) or 'nobody'} announcing"
    until(lambda: announcers(lab) == members, within_seconds=RECOVERY_SECONDS, what=what)


def test_address_is_announced_by_every_ready_member_and_by_both_routers(lab: Lab) -> None:
    shown = lab.rack.run("client", ["ip", "route", "show", API_ADDRESS])

    assert announcers(lab) == MEMBERS
    assert {"up1", "up2"} <= set(re.findall(r"dev (up\d)", shown))


def test_member_that_listens_but_is_not_ready_gets_no_clients(lab: Lab) -> None:
    lab.rack.hold("cp2", "etcd")

    await_announcers(lab, ["cp1", "cp3"])
    with connected(lab, "cp2"):
        assert not is_ready(lab, "cp2")
    await_writes(lab)


def test_without_a_quorum_nobody_writes_and_with_it_all_is_well_again(lab: Lab) -> None:
    for member in ("cp1", "cp3"):
        lab.rack.hold(member, "etcd")
    await_announcers(lab, [])
    wrote = api_writes(lab)
    for member in ("cp1", "cp3"):
        lab.rack.release(member, "etcd")

    assert not wrote
    await_writes(lab)


def test_killed_api_server_is_started_again_and_clients_go_on(lab: Lab) -> None:
    former = api_servers(lab, "cp1")
    lab.rack.run("cp1", ["kill", "-9", *former])

    await_writes(lab)
    until(
        lambda: set(api_servers(lab, "cp1")) - set(former),
        within_seconds=RECOVERY_SECONDS,
        what="another API server on cp1",
    )
    # That it is announced may still be from before: its own word is not.
    until(lambda: is_ready(lab, "cp1"), within_seconds=RECOVERY_SECONDS, what="cp1 ready")
    await_announcers(lab, MEMBERS)
    assert former


@pytest.mark.parametrize("component", ["kube-controller-manager", "kube-scheduler"])
def test_lost_leader_is_replaced_by_another_member(lab: Lab, component: str) -> None:
    def holder() -> str:
        shown = lab.kubectl().run("get", "lease", component, "--namespace=kube-system", "-ojson")
        identity: str = json.loads(shown)["spec"]["holderIdentity"]
        return identity.split("_", maxsplit=1)[0]

    leader = holder()
    lab.rack.hold(leader, component)
    try:
        until(lambda: holder() != leader, within_seconds=60, what=f"another {component}")
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


@pytest.mark.parametrize(
    ("handle", "how"),
    [("cp1/kube-apiserver", "hang"), ("cp2/etcd", "stop"), ("cp3/kube-apiserver", "stop")],
)
def test_broken_member_is_told_by_its_own_word_and_gets_no_clients_until_it_is_mended(
    lab: Lab, handle: str, how: str
) -> None:
    member = handle.partition("/")[0]
    others = [each for each in MEMBERS if each != member]

    with broken(lab, handle, "--how", how) as proof:
        left = announcers(lab)
        await_writes(lab)

    assert re.search(rf"/readyz of {member}, asked by the client, not ok [\d.]+ s later", proof)
    assert re.search(rf"clients to {' and '.join(others)} [\d.]+ s later", proof)
    assert left == others
    await_announcers(lab, MEMBERS)


def test_nodes_speak_and_all_is_as_before_when_a_member_loses_power(lab: Lab) -> None:
    with broken(lab, "cp2/power"):
        cut = datetime.now(UTC)
        await_announcers(lab, ["cp1", "cp3"])
        await_writes(lab)
        # A node that has fallen silent still counts as Ready for 50 s: what it says itself tells.
        until(
            lambda: all(spoke >= cut for spoke in renewals(lab)),
            within_seconds=RECOVERY_SECONDS,
            what="a lease of every node from after the cut",
        )
        readiness.wait_nodes(TOPOLOGY, lab.kubectl())

    await_announcers(lab, MEMBERS)


def renewals(lab: Lab) -> list[datetime]:
    """Return when each node last spoke to the API."""
    leases = lab.kubectl().items("leases", "--namespace=kube-node-lease")
    found = [datetime.fromisoformat(lease["spec"]["renewTime"]) for lease in leases]
    assert len(found) == len(TOPOLOGY.workers)
    return found
