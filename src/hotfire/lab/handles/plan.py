"""What breaking a handle comes to: operations of the agents of certain machines."""

from dataclasses import dataclass
from typing import Any

from hotfire.errors import ProfileError
from hotfire.lab.handles.names import Handle, Kind
from hotfire.lab.shape.topology import DNS_ADDRESS, Link, Topology

DNS_PORT = 53
_DIRECTIONS = {"one-way-in": "in", "one-way-out": "out"}
XID_FALLEN_OFF_THE_BUS = 79


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much of a way of breaking: an operation's argument, and between which ends it shows."""

    argument: str
    unit: str
    usual: float
    least: float
    most: float


# Beyond these ends the proof could not tell the fault from a busy machine's own ways.
AMOUNTS = {
    "loss": Amount(argument="ratio", unit="", usual=0.2, least=1e-3, most=1.0),
    "delay": Amount(argument="seconds", unit=" s", usual=0.02, least=1e-3, most=0.9),
    "rate": Amount(argument="bits_per_second", unit=" bit/s", usual=10e6, least=2e5, most=1e8),
    "slow": Amount(argument="bytes_per_second", unit=" bytes/s", usual=1e5, least=1e4, most=1e7),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakOptions:
    """How a handle is to be broken, and for how long."""

    how: str
    for_seconds: float
    amount: float | None = None
    xid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One operation of one machine's agent."""

    machine: str
    op: str
    args: dict[str, Any]


def link_of(topology: Topology, handle: Handle) -> Link:
    """Return the cable of a link's handle."""
    return next(
        link
        for link in topology.links
        if (link.machine.name, link.uplink) == (handle.machine, handle.part)
    )


def actions(topology: Topology, handle: Handle, order: BreakOptions) -> list[Action]:
    """Return what to do, in that order; it is undone in the opposite one.

    Raises:
        ProfileError: the order says what the handle does not have, or more than can be proven.
    """
    _check_amount(order)
    if order.xid is not None and handle.kind is not Kind.GPU:
        raise ProfileError(f"--xid is for GPUs, and {handle.name} is none; leave it out")
    match handle.kind:
        case Kind.LINK:
            return _link(link_of(topology, handle), order)
        case Kind.ROUTER:
            router = topology.machine(handle.machine)
            ports = [link.port for link in topology.links_of(router)]
            return [_silence(handle.machine, links=ports)]
        case Kind.POWER:
            links = topology.links_of(topology.machine(handle.machine))
            return [_silence(link.router.name, link=link.port) for link in links]
        case Kind.DNS:
            args = {"and": [DNS_ADDRESS], "port": DNS_PORT}
            return [
                Action(machine=node.name, op="net.block", args=args) for node in topology.workers
            ]
        case Kind.GPU:
            xid = XID_FALLEN_OFF_THE_BUS if order.xid is None else order.xid
            args = {"uuid": handle.part, "xid": xid}
            return [Action(machine=handle.machine, op="gpu.health", args=args)]
        case Kind.SERVICE | Kind.STORE:
            return [_service(handle, order)]


def words(order: BreakOptions) -> str:
    """Return how something is broken, with its amount."""
    if order.how not in AMOUNTS:
        return order.how
    return f"{order.how} {amount(order):g}{AMOUNTS[order.how].unit}"


def amount(order: BreakOptions) -> float:
    """Return how much of it: a ratio, seconds, bits or bytes per second."""
    return AMOUNTS[order.how].usual if order.amount is None else order.amount


def machines(topology: Topology, handle: Handle) -> list[str]:
    """Return the machines whose state a handle changes where they stand."""
    match handle.kind:
        case Kind.LINK:
            return [handle.machine, link_of(topology, handle).router.name]
        case Kind.DNS:
            return [node.name for node in topology.workers]
        case Kind.ROUTER | Kind.POWER:
            machine = topology.machine(handle.machine)
            ends = [(link.machine.name, link.router.name) for link in topology.links_of(machine)]
            return sorted({name for pair in ends for name in pair})
        case _:
            return [handle.machine]


def _check_amount(order: BreakOptions) -> None:
    if order.amount is None:
        return
    if order.how not in AMOUNTS:
        raise ProfileError(f"--how {order.how} has no --amount; {', '.join(AMOUNTS)} have")
    ends = AMOUNTS[order.how]
    if not ends.least <= order.amount <= ends.most:
        raise ProfileError(
            f"--amount of --how {order.how} takes {ends.least:g} to {ends.most:g}{ends.unit}, "
            f"not {order.amount:g}: that could not be proven"
        )


def _link(link: Link, order: BreakOptions) -> list[Action]:
    node, router = link.machine.name, link.router.name
    if order.how == "silent":
        return [_silence(node, link=link.uplink)]
    if order.how == "carrier":
        # At the router's end, as a pulled cable looks from the node.
        args = {"link": link.port, "may_isolate": True}
        return [Action(machine=router, op="link.carrier_down", args=args)]
    if order.how in _DIRECTIONS:
        args = {
            "link": link.uplink,
            "direction": _DIRECTIONS[order.how],
            "may_isolate": True,
        }
        return [Action(machine=node, op="link.one_way_loss", args=args)]
    args = {AMOUNTS[order.how].argument: amount(order)}
    if order.how == "loss":
        return [Action(machine=node, op="link.packet_loss", args={**args, "link": link.uplink})]
    ends = ((node, link.uplink), (router, link.port))
    return [
        Action(machine=end, op=f"link.{order.how}", args={**args, "link": name})
        for end, name in ends
    ]


def _service(handle: Handle, order: BreakOptions) -> Action:
    if order.how in {"slow", "corrupt"}:
        args: dict[str, Any] = {"mode": order.how}
        if order.how == "slow":
            args["bytes_per_second"] = amount(order)
        return Action(machine=handle.machine, op="store.mode", args=args)
    args = {"service": handle.part}
    if order.how in {"hang", "kill"}:
        args["signal"] = {"hang": "STOP", "kill": "KILL"}[order.how]
        return Action(machine=handle.machine, op="process.signal", args=args)
    return Action(machine=handle.machine, op="service.stop", args=args)


def _silence(machine: str, **where: object) -> Action:
    args = {**where, "may_isolate": True}
    return Action(machine=machine, op="link.silent_loss", args=args)
