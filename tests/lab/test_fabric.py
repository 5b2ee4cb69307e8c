"""What the fabric promises: pods are reached as they are, over both uplinks, in whole packets."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import pytest

from hotfire.lab.lab import Lab
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import MTU, Topology
from hotfire.waiting import until
from tests.gpu_pods import Pods, pods_of

pytestmark = pytest.mark.lab

TOPOLOGY = Topology()
CLIENT = TOPOLOGY.client
PORT = 8000
HEADERS_BYTES = 28
FLOWS = 128
# IP_MTU_DISCOVER and IP_PMTUDISC_DO of <bits/in.h>; this Python does not name them.
NEVER_FRAGMENT = (10, 2)
# Tells everybody, over TCP and over UDP, by which address they came and how long their packet was.
ECHO = f"""
import socket, threading
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.IPPROTO_IP, *{NEVER_FRAGMENT})
datagrams.bind(("", {PORT}))
def answer():
    while True:
        said, sender = datagrams.recvfrom(65536)
        datagrams.sendto(sender[0].encode().ljust(len(said)), sender)
threading.Thread(target=answer, daemon=True).start()
with socket.create_server(("", {PORT}), backlog=256) as server:
    while True:
        connection, sender = server.accept()
        with connection:
            connection.sendall(sender[0].encode())
"""
ASK = "import socket, sys; print(socket.create_connection((sys.argv[1], {}), 10).recv(64).decode())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """A pod that answers, and one on another node that asks."""

    pods: Pods
    address: str
    asker: str
    service: str


@pytest.fixture(scope="module")
def echo(lab: Lab) -> Iterator[Echo]:
    with pods_of(lab) as pods:
        pods.start("echo", ["python3", "-c", ECHO], node="n1", resource=None)
        pods.start("asker", ["sleep", "600"], node="n2", resource=None)
        pods.run("label", "pod", "echo", "app=echo")
        pods.run("expose", "pod", "echo", f"--port={PORT}")
        found = {
            name: json.loads(pods.run("get", kind, name, "--output=json"))
            for kind, name in (("pod", "echo"), ("pod", "asker"))
        }
        service = json.loads(pods.run("get", "service", "echo", "--output=json"))
        echo = Echo(
            pods=pods,
            address=found["echo"]["status"]["podIP"],
            asker=found["asker"]["status"]["podIP"],
            service=service["spec"]["clusterIP"],
        )
        # A flow that comes before a node's kube-proxy has heard of the service is lost for good.
        until(
            lambda: all(seen_from_outside(echo.service) for _ in range(12)),
            within_seconds=60,
            what="the service behind every node",
        )
        yield echo


def seen_from_outside(address: str) -> str:
    """Return by which address a pod sees the client machine; empty: nobody answers there."""
    try:
        with netns.inside(CLIENT.network_namespace):
            connection = socket.create_connection((address, PORT), 3)
        with closing(connection):
            return connection.recv(64).decode()
    except (ConnectionRefusedError, TimeoutError):
        return ""


def test_pod_sees_the_addresses_of_a_client_and_of_another_pod_as_they_are(echo: Echo) -> None:
    from_pod = echo.pods.shell("asker", "python3", "-c", ASK.format(PORT), echo.address)

    assert seen_from_outside(echo.address) == CLIENT.address
    assert from_pod.strip() == echo.asker


def test_who_comes_by_a_service_gets_the_nodes_own_address_and_no_uplinks(echo: Echo) -> None:
    """An uplink's address would take its connections along when that uplink is lost."""
    seen = {seen_from_outside(echo.service) for _ in range(40)}

    # Whichever node a flow comes to; on the pod's own node it leaves by the pods' bridge.
    others = {node.address for node in TOPOLOGY.workers if node.name != "n1"}
    assert others <= seen
    assert seen - others <= {"10.244.1.1", "10.0.0.1"}


def test_pod_that_goes_out_keeps_its_address(lab: Lab, echo: Echo) -> None:
    with netns.inside(CLIENT.network_namespace):
        server = socket.create_server((CLIENT.address, 0))
    with closing(server):
        server.settimeout(20)
        connect = (
            "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)"
        )
        port = str(server.getsockname()[1])
        echo.pods.shell("asker", "python3", "-c", connect, CLIENT.address, port)
        connection, (source, _) = server.accept()
        connection.close()

    assert source == echo.asker


def test_flows_use_both_uplinks_there_and_back(lab: Lab, echo: Echo) -> None:
    there, back = f"ip daddr {echo.address}", f"ip saddr {echo.address}"
    with counting(lab, "client", there) as leaving, counting(lab, "n1", back) as answered:
        for _ in range(FLOWS):
            assert seen_from_outside(echo.address) == CLIENT.address
        shares = [leaving(), answered()]

    for share in shares:
        assert sum(share) >= FLOWS
        # Six standard deviations below the half of them.
        assert min(share) >= FLOWS / 2 - 34


@contextmanager
def counting(lab: Lab, machine: str, match: str) -> Iterator[Callable[[], list[int]]]:
    """Count for the length of the block how many flows a machine begins on each uplink."""
    rules = "".join(
        f'oifname "{link.uplink}" {match} tcp flags & syn == syn counter\n'
        for link in TOPOLOGY.links_of(TOPOLOGY.machine(machine))
    )
    head = "type filter hook postrouting priority 300;"
    table = f"table inet flows {{\nchain leaving {{\n{head}\n{rules}}}\n}}\n"
    lab.rack.run(machine, ["nft", "-f", "-"], stdin=table)

    def counts() -> list[int]:
        listed = lab.rack.run(machine, ["nft", "list", "table", "inet", "flows"])
        return [int(count) for count in re.findall(r"packets (\d+)", listed)]

    try:
        yield counts
    finally:
        lab.rack.run(machine, ["nft", "delete", "table", "inet", "flows"])


def test_full_packets_pass_unbroken_and_larger_ones_are_refused_at_once(echo: Echo) -> None:
    full = MTU - HEADERS_BYTES
    with netns.inside(CLIENT.network_namespace):
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(datagrams):
        datagrams.setsockopt(socket.IPPROTO_IP, *NEVER_FRAGMENT)
        datagrams.settimeout(1)
        datagrams.connect((echo.address, PORT))

        assert until(lambda: answer(datagrams, full), within_seconds=20, what="an answer") == full
        with pytest.raises(OSError, match="Message too long"):
            datagrams.send(bytes(full + 1))


def answer(datagrams: socket.socket, size: int) -> int:
    """Return how long the answer is to a datagram of that many bytes; 0: there was none."""
    with suppress(TimeoutError):
        datagrams.send(bytes(size))
        return len(datagrams.recv(65536))
    return 0
