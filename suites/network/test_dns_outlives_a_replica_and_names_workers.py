"""Cluster DNS survives the loss of one replica and names every member of a worker group.

Every new connection begins with a name. With one DNS pod a node's failure stops them all, and a
worker that cannot resolve the address where its group meets never starts. That another replica is
there and answers everything alone is shown here, not the moment of the loss.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, EndpointAddress
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "NET-008",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/",
)

IDLE = ["sleep", "600"]
GROUP, WORKERS = "group", ("worker-0", "worker-1", "worker-2")
ASKS = WORKERS[0]
LOOKUPS = 500
# A resolver gives a server up after this time.
WITHIN_SECONDS = 5.0
FOUND, NO_SUCH_NAME = "0", "3"
# Asks servers for the IPv4 addresses of names, over UDP; a question is repeated every second. Of
# each pair it prints how often which code came, the addresses, and the longest time.
LOOK_UP = """
import collections, json, os, socket, struct, sys, time
asked = json.loads(sys.argv[1])
def behind_name(answer, at):
    while answer[at] and answer[at] < 0xC0:
        at += 1 + answer[at]
    return at + (2 if answer[at] else 1)
def addresses(answer, question):
    at = 12 + len(question)
    for _ in range(struct.unpack_from(">H", answer, 6)[0]):
        at = behind_name(answer, at)
        kind, _, _, length = struct.unpack_from(">HHIH", answer, at)
        at += 10 + length
        if kind == 1:
            yield socket.inet_ntoa(answer[at - 4 : at])
def look_up(server, name):
    parts = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question, began = parts + b"\\0\\0\\1\\0\\1", time.monotonic()
    while time.monotonic() - began < asked["within_seconds"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(1)
            try:
                wire.connect((server, 53))
                wire.send(os.urandom(2) + b"\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + question)
                answer = wire.recv(4096)
            except OSError:
                continue
        return str(answer[3] & 15), [*addresses(answer, question)], time.monotonic() - began
    return "no answer", [], asked["within_seconds"]
rows = []
for server in asked["servers"]:
    for name in asked["names"]:
        codes, found, longest = collections.Counter(), set(), 0.0
        for _ in range(asked["times"]):
            code, listed, seconds = look_up(server, name)
            codes[code] += 1
            found.update(listed)
            longest = max(longest, seconds)
        row = {"server": server, "name": name, "codes": codes, "addresses": sorted(found)}
        rows.append(row | {"longest_seconds": longest})
print(json.dumps(rows))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """What came of asking one server for one name, several times."""

    server: str
    name: str
    codes: dict[str, int]
    """How often which code of DNS came; ``no answer`` where none came in time."""
    addresses: list[str]
    longest_seconds: float


def look_up(
    scratch: Scratch, servers: Sequence[str], names: Sequence[str], *, times: int
) -> list[Lookups]:
    asked = {"servers": servers, "names": names, "times": times, "within_seconds": WITHIN_SECONDS}
    said = scratch.exec(ASKS, ["python3", "-c", LOOK_UP, json.dumps(asked)])
    return [Lookups(**row) for row in json.loads(said)]


def resolver(scratch: Scratch) -> tuple[str, str]:
    """Return the name server of pods, and the cluster's domain."""
    lines = [line.split() for line in scratch.exec(ASKS, ["cat", "/etc/resolv.conf"]).splitlines()]
    servers = [words[1] for words in lines if words[:1] == ["nameserver"]]
    domains = [
        word.removeprefix("svc.")
        for words in lines
        if words[:1] == ["search"]
        for word in words
        if word.startswith("svc.")
    ]
    if not servers or not domains:
        raise HarnessError(f"no name server and cluster domain in a pod's resolv.conf: {lines}")
    return servers[0], domains[0]


def replicas(cluster: Cluster, server: str) -> tuple[EndpointAddress, ...]:
    """Return what answers behind the name server of pods."""
    for one in cluster.list("Service"):
        if server in (one["spec"].get("clusterIPs") or ()):
            found = cluster.endpoints(one["metadata"]["namespace"], one["metadata"]["name"])
            return tuple(each for each in found if each.ready)
    raise HarnessError(
        f"pods ask {server}, which is no Service's address (a cache on the node?): the replicas"
        " behind it are not known"
    )


def start_workers(cluster: Cluster, scratch: Scratch) -> dict[str, str]:
    """Start a group of workers that find each other by name; return the address of each."""
    spec = {"clusterIP": "None", "selector": {"group": GROUP}, "ports": [{"port": 29500}]}
    meeting = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": GROUP}, "spec": spec}
    cluster.apply([meeting], namespace=scratch.namespace)
    for name in WORKERS:
        besides = {"hostname": name, "subdomain": GROUP}
        scratch.pod(name, argv=IDLE, labels={"group": GROUP}, spec_besides=besides)
    return {name: scratch.wait_phase(name, "Running").ip for name in WORKERS}


def test_every_replica_names_everybody(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    workers = start_workers(cluster, scratch)
    server, domain = resolver(scratch)
    behind = replicas(cluster, server)
    evidence.record("replicas", {each.pod_name: each.node for each in behind})
    assert len({each.node for each in behind}) >= 2, (
        f"behind {server} there are {[(each.pod_name, each.node) for each in behind]}: the loss of"
        " one node ends name service"
    )

    home = f"{scratch.namespace}.svc.{domain}"
    api = cluster.get("Service", "default", "kubernetes") or {"spec": {"clusterIP": ""}}
    expected = {
        f"kubernetes.default.svc.{domain}": [api["spec"]["clusterIP"]],
        f"{GROUP}.{home}": sorted(workers.values()),
        **{f"{name}.{GROUP}.{home}": [address] for name, address in workers.items()},
    }
    servers = [server, *(each.address for each in behind)]
    of_target(
        lambda: not wrong(look_up(scratch, servers, [*expected], times=1), expected),
        within_seconds=profile.waits.route_live_seconds,
        what="the workers' names known",
        poll_seconds=1.0,
    )
    times = math.ceil(LOOKUPS / len(servers) / len(expected))
    rows = look_up(scratch, servers, [*expected], times=times)
    evidence.record("lookups", sum(sum(row.codes.values()) for row in rows))
    evidence.record("longest_seconds", max(row.longest_seconds for row in rows))
    evidence.record("expected", expected)
    mistakes = wrong(rows, expected)
    assert not mistakes, "; ".join(mistakes[:3])
    # Negative control: a name of nobody is answered by everybody, with a no.
    nobody = look_up(scratch, servers, [f"nobody.{GROUP}.{home}"], times=1)
    evidence.record("of_nobody", {row.server: row.codes for row in nobody})
    if any(row.codes != {NO_SUCH_NAME: 1} for row in nobody):
        raise HarnessError(f"expected NXDOMAIN of a name of nobody, saw {nobody}")


def wrong(rows: Sequence[Lookups], expected: dict[str, list[str]]) -> list[str]:
    """Return what was not answered, or not with the addresses that belong to the name."""
    return [
        f"{row.server} gives {row.addresses} for {row.name}, codes {row.codes}"
        for row in rows
        if row.codes.keys() != {FOUND} or row.addresses != expected[row.name]
    ]
