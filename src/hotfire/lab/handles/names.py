"""The handles of a lab: every part that can be broken, under a name that follows from its place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hotfire.errors import ProfileError
from hotfire.lab.machine.machines import Rack
from hotfire.lab.shape.topology import Machine, Role, Topology

MODEL_STORE = "model-store"


class Kind(StrEnum):
    """What sort of part a handle breaks."""

    POWER = "power"
    ROUTER = "router"
    LINK = "link"
    SERVICE = "service"
    GPU = "gpu"
    STORE = "model store"
    DNS = "dns"


LINK_WAYS = ("silent", "carrier", "one-way-in", "one-way-out", "loss", "delay", "rate")
# How each kind can be broken; the first way is the one without --how.
WAYS: Mapping[Kind, tuple[str, ...]] = {
    Kind.POWER: ("off",),
    Kind.ROUTER: ("silent",),
    Kind.LINK: LINK_WAYS,
    Kind.SERVICE: ("stop", "hang", "kill"),
    Kind.GPU: ("unhealthy",),
    Kind.STORE: ("down", "slow", "corrupt", "hang", "kill"),
    Kind.DNS: ("drop",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """One part that can be broken."""

    name: str
    kind: Kind
    machine: str = ""
    """Where it is; empty for what is everywhere."""
    part: str = ""
    """Uplink, service or GPU's UUID on that machine."""


def of_lab(topology: Topology, rack: Rack) -> dict[str, Handle]:
    """Return every handle of a standing lab by its name."""
    found = [Handle(name="dns", kind=Kind.DNS)]
    for machine in topology.machines:
        found += [*_whole(machine, rack), *_links(topology, machine), *_parts(machine, rack)]
    return {handle.name: handle for handle in found}


def find(handles: Mapping[str, Handle], name: str) -> Handle:
    """Return the handle of that name.

    Raises:
        ProfileError: there is none; the message names those of the same machine.
    """
    if name in handles:
        return handles[name]
    machine = name.partition("/")[0]
    near = [each for each in handles if each.partition("/")[0] == machine]
    shown = ", ".join(near or handles)
    raise ProfileError(f"no handle {name!r}; there are {shown} (`hotfire lab handles` lists all)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Handles that differ by their machine only, which their common name calls ``M``."""

    name: str
    machines: tuple[str, ...]
    ways: tuple[str, ...]


def grouped(handles: Iterable[Handle]) -> list[Group]:
    """Return all handles, kind by kind, with those of one part of several machines together."""
    found: dict[tuple[Kind, str], list[str]] = {}
    for handle in handles:
        machine, _, part = handle.name.partition("/")
        machines = found.setdefault((handle.kind, f"M/{part}" if part else handle.name), [])
        machines += [machine] if part else []
    kinds = list(Kind)
    return [
        Group(name=name, machines=tuple(machines), ways=WAYS[kind])
        for (kind, name), machines in sorted(found.items(), key=lambda one: kinds.index(one[0][0]))
    ]


def way(handle: Handle, how: str | None) -> str:
    """Return the way to break a handle, the usual one if none is named.

    Raises:
        ProfileError: it cannot be broken that way.
    """
    ways = WAYS[handle.kind]
    if how is not None and how not in ways:
        raise ProfileError(f"{handle.name} can be broken by --how {', '.join(ways)}, not {how!r}")
    return how or ways[0]


def _whole(machine: Machine, rack: Rack) -> list[Handle]:
    if machine.role is Role.ROUTER:
        return [Handle(name=machine.name, kind=Kind.ROUTER, machine=machine.name)]
    # What inherited sockets of the command that started it cannot be started again.
    if any(service["fds"] for service in rack.spec(machine.name)["services"]):
        return []
    return [Handle(name=f"{machine.name}/power", kind=Kind.POWER, machine=machine.name)]


def _links(topology: Topology, machine: Machine) -> list[Handle]:
    return [
        Handle(
            name=f"{machine.name}/{link.uplink}",
            kind=Kind.LINK,
            machine=machine.name,
            part=link.uplink,
        )
        for link in topology.links
        if link.machine == machine
    ]


def _parts(machine: Machine, rack: Rack) -> list[Handle]:
    services = [
        Handle(
            name=f"{machine.name}/{service}",
            kind=Kind.STORE if service == MODEL_STORE else Kind.SERVICE,
            machine=machine.name,
            part=service,
        )
        for service in rack.services(machine.name)
    ]
    gpus = [
        Handle(name=f"{machine.name}/gpu{n}", kind=Kind.GPU, machine=machine.name, part=uuid)
        for n, uuid in enumerate(machine.gpus)
    ]
    return services + gpus
