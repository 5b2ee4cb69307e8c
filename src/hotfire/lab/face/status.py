"""``hotfire lab status``: how the standing lab is, asked from its machines, not remembered."""

import contextlib
from dataclasses import dataclass
from typing import Any

from hotfire.errors import LabError
from hotfire.lab.cluster import add_ons
from hotfire.lab.cluster.kube import condition, serves
from hotfire.lab.cluster.pool_process import PoolProcess
from hotfire.lab.handles import breaking, facts
from hotfire.lab.lab import Lab, standing
from hotfire.lab.machine import cgroups, dependencies
from hotfire.lab.network import fabric
from hotfire.lab.shape.topology import Machine, Role, Topology

_READY = {True: "Ready", False: "not Ready", None: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One machine in words."""

    name: str
    rack: str
    address: str
    sessions: str
    services: str
    node: str
    age: str
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The lab in words, and whether all of it is as it should be."""

    rows: list[Row]
    lines: list[str]
    healthy: bool


def look(lab: Lab) -> Status | None:
    """Return the state of the standing lab, or None when there is none."""
    record = lab.state.read()
    if record is None:
        return None
    topology = standing(record)
    objects = _objects(lab)
    nodes = {_name(each): condition(each, "Ready") for each in objects if each["kind"] == "Node"}
    rows = [_row(lab, topology, machine, nodes) for machine in topology.machines]
    missing = _missing(objects)
    broken, pool = breaking.of_lab(lab).all(), PoolProcess(lab.state)
    ports = record.ports
    lines = [
        f"Kubernetes {topology.kubernetes}, checkout {record.checkout}, up since"
        f" {record.started_at}"
        + ("" if record.complete else " (half built: `hotfire lab down` cleans up)"),
        f"API https://127.0.0.1:{ports.api}  gateway http://127.0.0.1:{ports.gateway}"
        f"  Prometheus http://127.0.0.1:{ports.prometheus}",
        f"not ready: {', '.join(missing)}" if missing else "Gateway Programmed, every add-on ready",
        *_cost(),
        *([f"add-ons {', '.join(topology.add_ons)}"] if topology.add_ons else []),
        *_pool(pool),
        f"model store {dependencies.model_url(topology)}  "
        f"Redis {topology.store.address}:{dependencies.REDIS_PORT}",
        f"export KUBECONFIG={lab.state.kubeconfig}",
        *breaking.in_words(lab),
    ]
    well = record.complete and not (missing or broken) and all(row.healthy for row in rows)
    return Status(rows=rows, lines=lines, healthy=well and (not pool.limits() or bool(pool.pid())))


def _cost() -> list[str]:
    try:
        memory, cpu = cgroups.memory_bytes(), cgroups.cpu_seconds()
    except OSError:  # No machine was ever on, or a reboot ended the lab.
        return []
    return [f"memory {memory / 2**20:.0f} MiB, CPU {cpu:.0f} s so far"]


def _pool(process: PoolProcess) -> list[str]:
    if (limits := process.limits()) is None:
        return []
    pid = process.pid()
    return [f"{limits}: {f'process {pid}' if pid else 'its process has ended'}, log {process.log}"]


def _objects(lab: Lab) -> list[dict[str, Any]]:
    """Return the nodes and what serves the platform; nothing while the API does not answer."""
    kinds = "nodes,gateways,deployments,daemonsets"
    with contextlib.suppress(LabError, OSError, StopIteration):
        return lab.kubectl().items(kinds, "--all-namespaces", "--request-timeout=5s")
    return []


def _missing(objects: list[dict[str, Any]]) -> list[str]:
    """Return the names of what should serve the platform and does not."""
    if not objects:
        return ["the API, or what it serves"]
    return [_name(each) for each in objects if _is_of_platform(each) and not serves(each)]


def _is_of_platform(item: dict[str, Any]) -> bool:
    """Return whether the lab brought it: what a user deploys is no part of the lab's health."""
    return item["metadata"].get("namespace") in add_ons.NAMESPACES


def _name(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])


def _row(lab: Lab, topology: Topology, machine: Machine, nodes: dict[str, bool]) -> Row:
    on = lab.rack.pid(machine.name) is not None
    up, expected = _sessions(lab, machine) if on else 0, len(topology.links_of(machine))
    wanted = lab.rack.services(machine.name) if on else []
    running = [name for name in wanted if facts.service(lab, machine.name, name) == facts.RUNS]
    is_node = machine.role is Role.WORKER
    ready = nodes.get(machine.name)
    missing = [name for name in wanted if name not in running]
    return Row(
        name=machine.name,
        rack=machine.rack or "",
        address=machine.address,
        sessions=f"{up}/{expected}",
        services="off" if not on else ("missing: " + ", ".join(missing) if missing else "all run"),
        node=_READY[ready] if is_node else "",
        age=_duration(lab.rack.age_seconds(machine.name)),
        healthy=on and up == expected and not missing and (ready is True or not is_node),
    )


def _sessions(lab: Lab, machine: Machine) -> int:
    try:
        shown = lab.rack.run(
            machine.name, ["birdc", "-s", fabric.BIRD_SOCKET, "show", "protocols"], within_seconds=5
        )
    except LabError:
        return 0
    return sum("BGP" in line and "Established" in line for line in shown.splitlines())


def _duration(seconds: float | None) -> str:
    """Return a time span in the two largest of its units."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
