"""How the standing lab is: asked from its machines, not remembered."""

import contextlib
from dataclasses import dataclass

from hotfire.errors import LabError
from hotfire.lab import cgroups, dependencies, fabric
from hotfire.lab.handles import breaking
from hotfire.lab.kube import condition
from hotfire.lab.lab import Lab, standing
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
        *([f"add-ons {', '.join(topology.add_ons)}"] if topology.add_ons else []),
        *_pool(lab),
        f"model store {dependencies.model_url(topology)}  "
        f"Redis {topology.store.address}:{dependencies.REDIS_PORT}",
        f"export KUBECONFIG={lab.state.kubeconfig}",
        *breaking.in_words(lab),
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
    wanted = lab.rack.services(machine.name) if on else []
    running = [name for name in wanted if lab.rack.service_pid(machine.name, name)]
    is_node = machine.role is Role.WORKER
    ready = nodes.get(machine.name, False)
    missing = [name for name in wanted if name not in running]
    return Row(
        name=machine.name,
        rack=machine.rack or "",
        address=machine.address,
        sessions=f"{up}/{expected}",
        services="off" if not on else ("missing: " + ", ".join(missing) if missing else "all run"),
        node=("Ready" if ready else "not Ready") if is_node else "",
        age=_duration(lab.rack.age_seconds(machine.name)),
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


def _duration(seconds: float | None) -> str:
    """Return a time span in the two largest of its units."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
