"""How long the lab's users notice a lost uplink, router or rack: prints a table.

``python bench/failures.py [--runs 10]``. Brings up a lab with a control plane of three members,
breaks it from outside and takes it down; needs root, the parts in the cache and two minutes.
Exit code 1 if something took longer than it may.
"""

import argparse
import contextlib
import functools
import http.client
import json
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator

from hotfire.lab.lab import Lab
from hotfire.lab.network import netns
from hotfire.lab.shape.progress import Progress
from hotfire.lab.shape.topology import API_ADDRESS, API_PORT, GATEWAY_ADDRESS, Machine, Topology
from hotfire.own_folders import project_root
from hotfire.waiting import pause, until

FLOWS, CONNECTIONS = 16, 60
PERIOD_SECONDS = 0.005
ECHO_PORT = 9999
BEFORE_SECONDS, DURING_SECONDS = 0.5, 2.0
TOPOLOGY = Topology(control_planes=3)


@contextlib.contextmanager
def silence(machine: Machine, links: list[str]) -> Iterator[None]:
    """Drop everything on some links of a machine, both ways, without taking them down."""
    rules = ["table netdev bench {"]
    for link in links:
        for hook in ("ingress", "egress"):
            where = f'type filter hook {hook} device "{link}" priority 0;'
            rules.append(f"chain {hook}_{link} {{ {where} drop; }}")
    space = machine.network_namespace
    netns.run(space, ["nft", "-f", "-"], stdin="\n".join([*rules, "}"]))
    try:
        yield
    finally:
        netns.run(space, ["nft", "delete", "table", "netdev", "bench"])


def udp_socket(machine: Machine, port: int = 0) -> socket.socket:
    with netns.inside(machine.network_namespace):
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((machine.address, port))
    return found


def echo(server: socket.socket, over: threading.Event) -> None:
    server.settimeout(0.1)
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            server.sendto(*server.recvfrom(64))


def worst_udp_gap(near: Machine, far: Machine) -> float:
    """Return the longest silence of any of the flows, in seconds, while one uplink is cut."""
    over, server = threading.Event(), udp_socket(far, ECHO_PORT)
    answering = threading.Thread(target=echo, args=(server, over), daemon=True)
    answering.start()
    flows = [udp_socket(near) for _ in range(FLOWS)]
    heard = dict.fromkeys(flows, time.monotonic())
    worst = dict.fromkeys(flows, 0.0)

    def exchange(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for flow in flows:
                flow.sendto(b"?", (far.address, ECHO_PORT))
            for flow in select.select(flows, [], [], PERIOD_SECONDS)[0]:
                flow.recv(64)
                now = time.monotonic()
                worst[flow], heard[flow] = max(worst[flow], now - heard[flow]), now

    exchange(BEFORE_SECONDS)
    with silence(far, ["up1"]):
        exchange(DURING_SECONDS)
    over.set()
    answering.join(2)
    unheard = [time.monotonic() - heard[flow] for flow in flows]
    for each in (*flows, server):
        each.close()
    pause(2.0, why="both uplinks come back before the next run")
    return max(*worst.values(), *unheard)


class Conversation(threading.Thread):
    """One keep-alive connection to the gateway that asks all the time."""

    def __init__(self, client: Machine, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.over, self.longest, self.broken = over, 0.0, ""
        with netns.inside(client.network_namespace):
            self.connection = http.client.HTTPConnection(GATEWAY_ADDRESS, timeout=10)
            self.connection.connect()
        self.connection.auto_open = 0

    def run(self) -> None:
        try:
            while not self.over.wait(0.05):
                asked = time.monotonic()
                self.connection.request("GET", "/nothing")
                self.connection.getresponse().read()
                self.longest = max(self.longest, time.monotonic() - asked)
        except (OSError, http.client.HTTPException) as error:
            self.broken = repr(error)


def lost_router(router: Machine) -> tuple[int, float]:
    """Return how many of the connections broke, and the longest wait, while a router is silent."""
    over = threading.Event()
    talks = [Conversation(TOPOLOGY.client, over) for _ in range(CONNECTIONS)]
    for talk in talks:
        talk.start()
    pause(1.0, why="every connection has asked once")
    with silence(router, [link.port for link in TOPOLOGY.links_of(router)]):
        pause(4.0, why="the loss is seen by all flows")
    over.set()
    for talk in talks:
        talk.join(12)
    return sum(bool(talk.broken) for talk in talks), max(talk.longest for talk in talks)


class ApiWatch(threading.Thread):
    """Writes through the API address as an outside client does, and keeps the longest gap."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self.context = ssl.create_default_context(cafile=str(lab.state.pki / "ca.crt"))
        self.context.load_cert_chain(lab.state.pki / "admin.crt", lab.state.pki / "admin.key")
        self.over, self.last, self.longest = threading.Event(), time.monotonic(), 0.0

    def run(self) -> None:
        while not self.over.wait(0.02):
            if self.write():
                now = time.monotonic()
                self.longest, self.last = max(self.longest, now - self.last), now

    def write(self) -> bool:
        body = json.dumps({"data": {"at": str(time.monotonic_ns())}})
        kind = {"content-type": "application/merge-patch+json"}
        try:
            with netns.inside(TOPOLOGY.client.network_namespace):
                connection = http.client.HTTPSConnection(
                    API_ADDRESS, API_PORT, timeout=0.5, context=self.context
                )
                connection.connect()
            connection.request(
                "PATCH", "/api/v1/namespaces/default/configmaps/bench", body=body, headers=kind
            )
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False


def etcd_leader(lab: Lab) -> str:
    """Return the member whose etcd leads."""
    for member in TOPOLOGY.members:
        with netns.inside(member.network_namespace):
            connection = http.client.HTTPConnection(member.address, 2379, timeout=2)
            connection.connect()
        connection.request("GET", "/metrics")
        if "\netcd_server_is_leader 1" in connection.getresponse().read().decode():
            return member.name
    raise SystemExit("no etcd member leads")


def lost_rack(lab: Lab) -> float:
    """Return the longest time without a successful write while the leader's rack goes dark."""
    lab.kubectl().run("create", "configmap", "bench", "--namespace=default")
    rack = TOPOLOGY.machine(etcd_leader(lab)).rack
    gone = [each for each in TOPOLOGY.machines if each.rack == rack]
    watch = ApiWatch(lab)
    watch.start()
    pause(2.0, why="writes go through before the loss")
    with contextlib.ExitStack() as cuts:
        for machine in gone:
            links = [link.uplink for link in TOPOLOGY.links_of(machine)]
            cuts.enter_context(silence(machine, links))
        for machine in gone:
            lab.rack.cut_power(machine.name)
        until(
            lambda: time.monotonic() - watch.last < 0.3 and watch.longest > 0.3,
            within_seconds=30,
            what="writes after the loss",
        )
        pause(5.0, why="nothing else breaks off")
        watch.over.set()
        watch.join(5)
    return watch.longest


def row(name: str, values: list[float], limit: float, unit: str) -> str:
    low, middle, high = min(values), sorted(values)[len(values) // 2], max(values)
    word = "met" if high <= limit else "MISSED"
    return f"{name:<42}{low:8.3f}{middle:8.3f}{high:8.3f} {unit:<6} at most {limit:g}: {word}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    lab = Lab(project_root())
    say = Progress(functools.partial(print, flush=True))
    lab.up(TOPOLOGY, say)
    try:
        near, far = TOPOLOGY.client, TOPOLOGY.machine("n2")
        gaps = [worst_udp_gap(near, far) for _ in range(runs)]
        broken, stall = lost_router(TOPOLOGY.routers[0])
        pause(3.0, why="both routers are back before the next loss")
        rack = lost_rack(lab)
    finally:
        lab.down(say)
    print(f"\n{'':<42}{'min':>8}{'median':>8}{'max':>8}")
    rows = (
        row(f"silent uplink loss, worst of {FLOWS} UDP flows", gaps, 0.35, "s"),
        row(f"silent router loss, resets of {CONNECTIONS}", [broken], 0, ""),
        row("silent router loss, longest wait", [stall], 1.0, "s"),
        row("etcd leader's rack lost, API writes again", [rack], 3.0, "s"),
    )
    print("\n".join(rows))
    return int(any("MISSED" in line for line in rows))


if __name__ == "__main__":
    sys.exit(main())
