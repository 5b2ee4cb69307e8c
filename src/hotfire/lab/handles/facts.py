"""The state of a machine at one moment, as sentences to compare: links, sessions, services ..."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hotfire.agent import probe
from hotfire.agent.host import Host
from hotfire.agent.link import bfd_sessions
from hotfire.agent.processes import alive, state
from hotfire.errors import LabError
from hotfire.lab.cluster import readiness
from hotfire.lab.cluster.kube import condition
from hotfire.lab.handles import members
from hotfire.lab.lab import Lab
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import CLUSTER_DOMAIN, DNS_ADDRESS, Topology

Facts = dict[str, str]
GONE = "gone"
RUNS = "runs"
_SERVICE_NAME = f"kubernetes.default.svc.{CLUSTER_DOMAIN}"
_ANSWER_SECONDS = 1.5
_MARK = "--next--"
_COMMANDS = (
    "ip -j link show",
    "ip -j -4 route show proto bird",
    "birdc show protocols",
    "birdc show bfd sessions",
    # Of tables that follow pods and services only the names: their rules come and go.
    "nft -s list ruleset netdev; nft -s list table ip hotfire; nft list tables inet",
)
_SCRIPT = f"; echo; echo {_MARK}; ".join(f"{{ {each}; }} 2>/dev/null" for each in _COMMANDS)


def of_machines(lab: Lab, names: Iterable[str]) -> Facts:
    """Return the facts of some machines; each begins with the machine's name."""
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda name: of_machine(lab, name), names))
    return {key: value for part in parts for key, value in part.items()}


def of_machine(lab: Lab, name: str) -> Facts:
    """Return links, routes, sessions, packet filter and services of one machine."""
    if lab.rack.pid(name) is None:
        return {f"{name} power": "off"}
    try:
        shown = lab.rack.run(name, ["sh", "-c", f"{_SCRIPT}; true"])
    except LabError:
        return {f"{name} power": "off"}
    links, routes, protocols, bfd, rules = shown.split(_MARK)
    found = {
        "power": "on",
        **_links(json.loads(links)),
        "routes": _routes(json.loads(routes or "[]")),
        **_sessions(protocols),
        **{f"bfd {one['interface']}": one["state"] for one in bfd_sessions(bfd)},
        "packet filter": " ".join(rules.split()),
        **{f"service {each}": service(lab, name, each) for each in lab.rack.services(name)},
    }
    return {f"{name} {key}": value for key, value in found.items()}


def service(lab: Lab, machine: str, name: str) -> str:
    """Return in a word whether a service runs."""
    pid = lab.rack.service_pid(machine, name)
    if pid is None or not alive(pid):
        return GONE
    return "stands still" if state(pid) == "T" else RUNS


def cluster(lab: Lab, topology: Topology) -> Facts:
    """Return whether name service and API answer, each member of it, and how each node is."""
    found = {"dns": lookup(topology)}
    found |= {f"{one.name} api": members.in_words(lab, topology, one) for one in topology.members}
    try:
        items = _nodes_and_slices(lab) if lab.api_ready() else []
    except LabError:
        items = []
    gpus = offered(items)
    nodes = [item for item in items if item["kind"] == "Node"]
    return (
        found
        | {"api": "ready" if nodes else "not ready"}
        | {f"{_name(node)} node": _node(node, gpus[_name(node)]) for node in nodes}
    )


def gpus_offered(lab: Lab, node: str) -> dict[str, int]:
    """Return how many GPUs a node offers, by resource, or by the driver that takes claims.

    Raises:
        LabError: the API does not answer.
    """
    return offered(_nodes_and_slices(lab))[node]


def offered(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return what nodes offer as their Node objects and ResourceSlices tell."""
    found = {_name(item): readiness.gpus(item) for item in items if item["kind"] == "Node"}
    for spec in [item["spec"] for item in items if item["kind"] == "ResourceSlice"]:
        if devices := spec.get("devices"):
            claimable = found.setdefault(spec.get("nodeName", ""), {})
            claimable[spec["driver"]] = claimable.get(spec["driver"], 0) + len(devices)
    return found


def lookup(topology: Topology) -> str:
    """Return what comes of a lookup by the client machine, which every node may answer."""
    words = {"server": DNS_ADDRESS, "name": _SERVICE_NAME, "within_seconds": _ANSWER_SECONDS}
    with netns.inside(topology.client.network_namespace):
        return str(probe.lookup(Host((), Path("/")), words)["outcome"])


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return in words what is not as it was."""
    return [
        f"{key}: {_short(before.get(key))} before, {_short(after.get(key))} now"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def started(before: Mapping[str, str], after: Mapping[str, str]) -> Facts:
    """Return the services that ran afterwards and did not before: between two starts, just then."""
    return {
        key: RUNS
        for key, value in before.items()
        if " service " in key and value == GONE and after.get(key) == RUNS
    }


def of_names(found: Mapping[str, str], names: Iterable[str]) -> Facts:
    """Return the facts of some machines only."""
    wanted = set(names)
    return {key: value for key, value in found.items() if key.split()[0] in wanted}


def machines(found: Mapping[str, str]) -> set[str]:
    """Return the machines that facts are about."""
    return {key.split()[0] for key in found if key.endswith(" power")}


def of_standing(found: Mapping[str, str], names: Iterable[str]) -> Facts:
    """Return facts without those that follow from machines which came or went meanwhile."""
    moved = {name for name in machines(found) if name not in set(names)}
    ports = {*moved, *(f"to_{name}" for name in moved)}
    return {
        key: value
        for key, value in found.items()
        if not ports & {key.split()[0], key.split()[-1]} and not (moved and key.endswith(" routes"))
    }


def _links(rows: list[dict[str, Any]]) -> Facts:
    # Pods come and go, and their links with them.
    return {
        f"link {row['ifname']}": f"{_flags(row)}, mtu {row['mtu']}, queue {row['qdisc']}"
        for row in rows
        if not row["ifname"].startswith("veth")
    }


def _flags(row: Mapping[str, Any]) -> str:
    up, carrier = "UP" in row["flags"], "LOWER_UP" in row["flags"]
    return f"{'up' if up else 'down'}, {'carrier' if carrier else 'no carrier'}"


def _routes(rows: list[dict[str, Any]]) -> str:
    return "; ".join(sorted(_route(row) for row in rows))


def _route(row: Mapping[str, Any]) -> str:
    hops = [*row.get("nexthops", []), *([row] if "gateway" in row else [])]
    ways = sorted(f"{hop['gateway']} {hop['dev']} {hop.get('flags', [])}" for hop in hops)
    return f"{row['dst']} {row.get('type', '')} {row.get('prefsrc', '')} via {', '.join(ways)}"


def _sessions(shown: str) -> Facts:
    rows = [line.split() for line in shown.splitlines()]
    return {f"bgp {row[0]}": row[-1] for row in rows if len(row) > 3 and row[1] == "BGP"}


def _nodes_and_slices(lab: Lab) -> list[dict[str, Any]]:
    return lab.kubectl().items("nodes,resourceslices", "--request-timeout=5s")


def _name(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])


def _node(node: dict[str, Any], offered: Mapping[str, int]) -> str:
    gpus = ", ".join(f"{name} {count}" for name, count in sorted(offered.items()))
    return f"{'Ready' if condition(node, 'Ready') else 'not Ready'}, {gpus or 'no GPU'}"


def _short(value: str | None) -> str:
    if value is None:
        return "absent"
    return value if len(value) < 60 else f"{value[:57]}..."
