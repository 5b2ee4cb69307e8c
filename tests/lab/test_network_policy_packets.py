"""Rules against real packets: the kernel lets pass what the API's text says, and nothing else."""

import itertools
import random
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from hotfire.lab.network import netns
from hotfire.lab.programs.network_policy import objects
from hotfire.lab.programs.network_policy.rules import ClusterState, ruleset
from hotfire.lab.programs.network_policy.ruleset import Ruleset, script
from hotfire.waiting import pause
from tests.network_policy_oracle import Host, World

pytestmark = pytest.mark.lab

ROUTER = "policytest-node"
NAMESPACES = {"red": {"team": "a"}, "blue": {"team": "b", "open": "yes"}}
HOSTS = (
    Host(name="web", address="10.99.0.1", namespace="red", labels={"app": "web"},
         ports={"http": ("TCP", 8080)}),
    Host(name="db", address="10.99.0.2", namespace="red", labels={"app": "db", "tier": "x"},
         ports={"http": ("TCP", 80), "dns": ("UDP", 80)}),
    Host(name="shop", address="10.99.0.3", namespace="blue", labels={"app": "web", "tier": "x"}),
    Host(name="outside", address="192.0.2.1"),
)  # fmt: skip
SERVED = (("TCP", 80), ("TCP", 443), ("TCP", 8080), ("UDP", 80))
# Loopback veths deliver in microseconds; this is for a busy machine.
SETTLE_SECONDS = 0.15
WORLDS = 25


def space(host: Host) -> str:
    return f"policytest-{host.name}"


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """A node with three pods on cables and one host beyond; all of it goes away again."""
    names = [ROUTER, *map(space, HOSTS)]
    try:
        for name in names:
            netns.create(name)
        netns.set_sysctls(ROUTER, {"ipv4/ip_forward": "1"})
        for index, host in enumerate(HOSTS):
            _plug(host, f"cable{index}")
        yield ROUTER
    finally:
        for name in names:
            netns.delete(name)


def _plug(host: Host, port: str) -> None:
    inside = space(host)
    netns.run(ROUTER, ["ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", inside])
    netns.run(ROUTER, ["ip", "addr", "add", "10.99.255.1/32", "dev", port])
    netns.run(ROUTER, ["ip", "link", "set", port, "up"])
    netns.run(ROUTER, ["ip", "route", "add", host.address, "dev", port])
    netns.run(inside, ["ip", "addr", "add", f"{host.address}/32", "dev", "eth0"])
    netns.run(inside, ["ip", "link", "set", "eth0", "up"])
    netns.run(inside, ["ip", "route", "add", "10.99.255.1", "dev", "eth0"])
    netns.run(inside, ["ip", "route", "add", "default", "via", "10.99.255.1"])


def socket_in(host: Host, protocol: str) -> socket.socket:
    kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
    with netns.inside(space(host)):
        return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)


Connection = tuple[str, str, str, int]


def connections() -> Iterator[tuple[Host, Host, str, int]]:
    for source, target in itertools.permutations(HOSTS, 2):
        yield from ((source, target, protocol, port) for protocol, port in SERVED)


def passing() -> set[Connection]:
    """Try every connection at once and return those that came through."""
    with ExitStack() as opened:
        servers = {
            (host.address, protocol, port): opened.enter_context(
                closing(_served(host, protocol, port))
            )
            for host in HOSTS
            for protocol, port in SERVED
        }
        clients = {}
        for source, target, protocol, port in connections():
            client = opened.enter_context(closing(socket_in(source, protocol)))
            client.connect_ex((target.address, port))
            if protocol == "UDP":
                client.send(source.name.encode())
            else:
                clients[client] = (source.name, target.name, protocol, port)
        pause(SETTLE_SECONDS, why="refused packets make no sound")
        found = {clients[each] for each in select.select([], list(clients), [], 0)[1]}
        names = {host.address: host.name for host in HOSTS}
        for (address, protocol, port), server in servers.items():
            for heard in _heard(server) if protocol == "UDP" else ():
                found.add((heard, names[address], protocol, port))
        return found


def _served(host: Host, protocol: str, port: int) -> socket.socket:
    server = socket_in(host, protocol)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host.address, port))
    if protocol == "TCP":
        server.listen()
    return server


def _heard(server: socket.socket) -> Iterator[str]:
    while select.select([server], [], [], 0)[0]:
        yield server.recv(64).decode()


def table(world: World) -> Ruleset:
    pods = [objects.pod(host.document("n1")) for host in HOSTS if host.namespace]
    policies = [objects.policy(each) for each in world.policies]
    return ruleset(
        "n1",
        ClusterState(
            pods={pod.name: pod for pod in pods if pod},
            namespaces=world.namespaces,
            policies={each.name: each for each in policies},
        ),
    )


def drawn(dice: random.Random) -> World:
    """Return a world with up to four policies of every shape the API has."""
    policies = tuple(_policy(dice, index) for index in range(dice.randint(0, 4)))
    return World(policies=policies, namespaces=NAMESPACES)


def _policy(dice: random.Random, index: int) -> dict[str, Any]:
    kinds = dice.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    spec: dict[str, Any] = {"podSelector": _selector(dice), "policyTypes": kinds}
    for kind, side in (("Ingress", "from"), ("Egress", "to")):
        if kind in kinds:
            spec[kind.lower()] = [_rule(dice, side) for _ in range(dice.randint(0, 2))]
    metadata = {"namespace": dice.choice(["red", "red", "blue"]), "name": f"policy.{index}"}
    return {"metadata": metadata, "spec": spec}


def _selector(dice: random.Random) -> dict[str, Any]:
    expression = dice.choice([
        {"key": "tier", "operator": "Exists"},
        {"key": "tier", "operator": "DoesNotExist"},
        {"key": "app", "operator": "In", "values": ["db", "cache"]},
        {"key": "tier", "operator": "NotIn", "values": ["x"]},
    ])  # fmt: skip
    choices: list[dict[str, Any]] = [
        {},
        {"matchLabels": {"app": "web"}},
        {"matchExpressions": [expression]},
    ]
    return dice.choice(choices)


def _rule(dice: random.Random, side: str) -> dict[str, Any]:
    peers = [_peer(dice) for _ in range(dice.randint(0, 2))]
    ports = [
        dice.choice([
            {"port": 80}, {"protocol": "TCP"}, {"protocol": "UDP", "port": 80},
            {"port": 100, "endPort": 9000}, {"port": 50, "endPort": 443}, {"port": "http"},
            {"port": "dns", "protocol": "UDP"}, {"port": "nobody"},
        ])
        for _ in range(dice.randint(0, 3))
    ]  # fmt: skip
    return {name: rows for name, rows in ((side, peers), ("ports", ports)) if rows}


def _peer(dice: random.Random) -> dict[str, Any]:
    team = {"matchLabels": {"team": dice.choice("ab")}}
    block = {"cidr": "10.99.0.0/24", "except": ["10.99.0.2/32", "10.99.0.2/31"]}
    return dice.choice([
        {"podSelector": _selector(dice)},
        {"namespaceSelector": team},
        {"namespaceSelector": {}, "podSelector": _selector(dice)},
        {"namespaceSelector": team, "podSelector": _selector(dice)},
        {"ipBlock": block},
        {"ipBlock": {"cidr": "0.0.0.0/0"}},
        {"ipBlock": {"cidr": "192.0.2.0/24"}},
        {"ipBlock": {"cidr": "2001:db8::/32"}},
    ])  # fmt: skip


def named(world: World) -> set[Connection]:
    return {
        (source.name, target.name, protocol, port)
        for source, target, protocol, port in connections()
        if world.allows(source, target, protocol, port)
    }


def test_kernel_lets_pass_exactly_what_the_policies_allow(node: str) -> None:
    dice, before = random.Random(7), None  # noqa: S311 - a drawing, not a secret
    shares = set()

    for world in [*map(_world, NAMED_PORTS_OUT), *(drawn(dice) for _ in range(WORLDS))]:
        after = table(world)
        netns.run(node, ["nft", "-f", "-"], stdin=script(before, after))
        expected = named(world)
        assert passing() == expected, world
        before = after
        shares.add(len(expected))

    assert len(shares) > WORLDS / 3


def test_changed_table_is_the_table_made_anew(node: str) -> None:
    dice = random.Random(11)  # noqa: S311 - a drawing, not a secret
    tables = [table(drawn(dice)) for _ in range(20)]

    shown = []
    for before in (None, *tables[:-1]):
        if before is None:
            continue
        netns.run(node, ["nft", "-f", "-"], stdin=script(None, before))
        netns.run(node, ["nft", "-f", "-"], stdin=script(before, tables[-1]))
        shown.append(_elements(node))

    netns.run(node, ["nft", "-f", "-"], stdin=script(None, tables[-1]))
    assert set(shown) == {_elements(node)}


def _elements(node: str) -> frozenset[str]:
    """Return the lines of the table; their order tells of the past, and is left out."""
    listed = netns.run(node, ["nft", "list", "table", "inet", "hotfire_policy"])
    return frozenset(
        " ".join(sorted(line.replace(",", " ").split())) for line in listed.splitlines()
    )


def test_open_connection_goes_on_under_a_new_policy(node: str) -> None:
    web, database = HOSTS[0], HOSTS[1]
    netns.run(node, ["nft", "-f", "-"], stdin=script(None, table(_world())))
    with closing(_served(database, "TCP", 80)) as server, closing(socket_in(web, "TCP")) as client:
        client.connect_ex((database.address, 80))
        pause(SETTLE_SECONDS, why="the handshake takes its time")
        accepted, _ = server.accept()

        netns.run(node, ["nft", "-f", "-"], stdin=script(table(_world()), table(_world(_DENY_ALL))))
        accepted.sendall(b"still here")

        assert select.select([client], [], [], 2)[0]
        assert client.recv(64) == b"still here"
        accepted.close()
    assert passing() == named(_world(_DENY_ALL)) != named(_world())


def test_denied_packets_are_counted_by_policy_and_the_count_outlives_a_change(node: str) -> None:
    closed = table(_world(_DENY_ALL))
    netns.run(node, ["nft", "-f", "-"], stdin=script(None, closed))
    passing()

    netns.run(node, ["nft", "-f", "-"], stdin=script(closed, table(_world(_DENY_ALL, _OPEN_BLUE))))

    name = "denied/ingress/red/deny-all"
    listed = netns.run(node, ["nft", "list", "counter", "inet", "hotfire_policy", name])
    packets = int(listed.split("packets")[1].split()[0])
    assert packets >= len(named(_world())) - len(named(_world(_DENY_ALL)))


_DENY_ALL = {
    "metadata": {"namespace": "red", "name": "deny-all"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}
_OPEN_BLUE = {
    "metadata": {"namespace": "blue", "name": "open"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
}


# A named port going out is the other side's: dice alone hardly ever make it matter.
NAMED_PORTS_OUT = [
    {
        "metadata": {"namespace": "red", "name": "out"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]},
    }
    for rule in (
        {"ports": [{"port": "http"}]},
        {"ports": [{"port": "http"}, {"port": "dns", "protocol": "UDP"}],
         "to": [{"podSelector": {"matchLabels": {"app": "db"}}}]},
        {"ports": [{"port": "http"}], "to": [{"ipBlock": {"cidr": "10.99.0.1/32"}}]},
    )
]  # fmt: skip


def _world(*policies: dict[str, Any]) -> World:
    return World(policies=policies, namespaces=NAMESPACES)
