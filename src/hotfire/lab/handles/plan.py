"""What breaking a handle comes to: operations of the agents of certain machines."""

from dataclasses import dataclass
from typing import Any

from hotfire.errors import ProfileError
from hotfire.lab.handles.names import Handle, Kind
from hotfire.lab.topology import DNS_ADDRESS, Link, Topology

DNS_PORT = 53
_DIRECTIONS = {"one-way-in": "in", "one-way-out": "out"}
# way: (argument, its value without --amount, unit)
_AMOUNTS = {
    "loss": ("ratio", 0.2, ""),
    "delay": ("seconds", 0.02, " s"),
    "rate": ("bits_per_second", 10e6, " bit/s"),
    "slow": ("bytes_per_second", 1e5, " bytes/s"),
}
XID_FALLEN_OFF_THE_BUS = 79


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a handle is to be broken, and for how long."""

    how: str
    for_seconds: float
    amount: float | None = None
    xid: int = XID_FALLEN_OFF_THE_BUS


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


def actions(topology: Topology, handle: Handle, order: Order) -> list[Action]:
    """Return what to do, in that order; it is undone in the opposite one.

    Raises:
        ProfileError: an amount was given for what has none.
    """
    if order.amount is not None and order.how not in _AMOUNTS:
        raise ProfileError(f"--how {order.how} has no --amount; {', '.join(_AMOUNTS)} have")
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
            args = {"uuid": handle.part, "xid": order.xid}
            return [Action(machine=handle.machine, op="gpu.health", args=args)]
        case Kind.SERVICE | Kind.STORE:
            return [_service(handle, order)]


def words(order: Order) -> str:
    """Return how something is broken, with its amount."""
    if order.how not in _AMOUNTS:
        return order.how
    return f"{order.how} {amount(order):g}{_AMOUNTS[order.how][2]}"


def amount(order: Order) -> float:
    """Return how much of it: a ratio, seconds, bits or bytes per second."""
    return _AMOUNTS[order.how][1] if order.amount is None else order.amount


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


def _link(link: Link, order: Order) -> list[Action]:
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
    argument, _, _ = _AMOUNTS[order.how]
    args = {argument: amount(order)}
    if order.how == "loss":
        return [Action(machine=node, op="link.packet_loss", args={**args, "link": link.uplink})]
    ends = ((node, link.uplink), (router, link.port))
    return [
        Action(machine=end, op=f"link.{order.how}", args={**args, "link": name})
        for end, name in ends
    ]


def _service(handle: Handle, order: Order) -> Action:
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
