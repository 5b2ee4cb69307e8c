"""How the standing lab is: asked from its machines, not remembered."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from hotfire.errors import LabError
from hotfire.lab import cgroups, dependencies, fabric
from hotfire.lab.kube import condition
from hotfire.lab.lab import Lab, standing
from hotfire.lab.machine_spec import Spec
from hotfire.lab.pool_process import PoolProcess
from hotfire.lab.topology import Machine, Role, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One machine in words."""

    name: str
    rack: str
    address: str
    sessions: str
    services: str
    node: str
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
    nodes = _nodes(lab)
    rows = [_row(lab, topology, machine, nodes) for machine in topology.machines]
    ports = record.ports
    lines = [
        f"checkout {record.checkout}, up since {record.started_at}"
        + ("" if record.complete else " (half built: `hotfire lab down` cleans up)"),
        f"API https://127.0.0.1:{ports.api}  gateway http://127.0.0.1:{ports.gateway}"
        f"  Prometheus http://127.0.0.1:{ports.prometheus}",
        f"memory {cgroups.memory_bytes() / 2**20:.0f} MiB, "
        f"CPU {cgroups.cpu_seconds():.0f} s so far",
        *_pool(lab),
        f"model store {dependencies.model_url(topology)}  "
        f"Redis {topology.store.address}:{dependencies.REDIS_PORT}",
        f"export KUBECONFIG={lab.state.kubeconfig}",
    ]
    healthy = record.complete and all(row.healthy for row in rows)
    return Status(rows=rows, lines=lines, healthy=healthy)


def _pool(lab: Lab) -> list[str]:
    process = PoolProcess(lab.state)
    if (limits := process.limits()) is None:
        return []
    pid = process.pid()
    return [f"{limits}: {f'process {pid}' if pid else 'its process has ended'}, log {process.log}"]


def _nodes(lab: Lab) -> dict[str, bool]:
    with contextlib.suppress(LabError, OSError, StopIteration):
        items = lab.kubectl().items("nodes", "--request-timeout=5s")
        return {item["metadata"]["name"]: condition(item, "Ready") for item in items}
    return {}


def _row(lab: Lab, topology: Topology, machine: Machine, nodes: dict[str, bool]) -> Row:
    on = lab.rack.pid(machine.name) is not None
    up, expected = _sessions(lab, machine) if on else 0, len(topology.links_of(machine))
    wanted = _services(lab, machine)
    running = _running(lab, machine) if on else set()
    is_node = machine.role is Role.WORKER
    ready = nodes.get(machine.name, False)
    missing = [name for name, argv in wanted.items() if argv not in running]
    return Row(
        name=machine.name,
        rack=machine.rack or "",
        address=machine.address,
        sessions=f"{up}/{expected}",
        services="off" if not on else ("missing: " + ", ".join(missing) if missing else "all run"),
        node=("Ready" if ready else "not Ready") if is_node else "",
        healthy=on and up == expected and not missing and (ready or not is_node),
    )


def _sessions(lab: Lab, machine: Machine) -> int:
    try:
        shown = lab.rack.run(
            machine.name, ["birdc", "-s", fabric.BIRD_SOCKET, "show", "protocols"], within_seconds=5
        )
    except LabError:
        return 0
    return sum("BGP" in line and "Established" in line for line in shown.splitlines())


def _services(lab: Lab, machine: Machine) -> dict[str, tuple[str, ...]]:
    """Return the command line of each of the machine's services by its name."""
    try:
        spec: Spec = json.loads((lab.rack.home(machine.name) / "spec.json").read_text())
    except (OSError, ValueError):
        return {}
    return {service["name"]: tuple(service["argv"]) for service in spec["services"]}


def _running(lab: Lab, machine: Machine) -> set[tuple[str, ...]]:
    """Return the command lines that PID 1 of the machine has running as its children."""
    pid = lab.rack.pid(machine.name)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    lines = set()
    for child in children.read_text().split() if children.exists() else []:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{child}/cmdline").read_text()
            lines.add(tuple(text.removesuffix("\0").split("\0")))
    return lines
