"""The proof that something is really broken: seen from outside of what broke it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from hotfire.errors import FaultNotInjected
from hotfire.lab import readiness
from hotfire.lab.handles import agents, facts, plan, store_probe
from hotfire.lab.handles.names import Handle, Kind
from hotfire.lab.handles.plan import Order
from hotfire.lab.handles.records import Broken
from hotfire.lab.lab import Lab
from hotfire.lab.topology import Link, Topology
from hotfire.waiting import until

# BFD gives a path up after 0.3 s; the rest is what a busy machine may add.
_BFD_SECONDS = 5.0
_SERVICE_SECONDS = 10.0
# The device plugin looks once a second, the kubelet tells its status every four.
_GPU_SECONDS = 20.0
_PROBES = 2000
_PROBE_BYTES, _FULL_BYTES = 100, 1400
# Five standard deviations: one false alarm in two million.
_SIGMAS = 5.0
_OFFERED = 2.0
_RATE_SECONDS = 1.0
_ROUND_TRIPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was broken where, and how everything was just before."""

    lab: Lab
    topology: Topology
    handle: Handle
    order: Order
    broken: Broken
    before: facts.Facts

    def facts_of(self, *machines: str) -> facts.Facts:
        """Return how machines are now."""
        return facts.of_machines(self.lab, machines)

    def ask(self, machine: str, op: str, **args: object) -> Any:  # noqa: ANN401 - JSON
        """Ask a machine's agent."""
        return agents.ask(self.lab.rack, machine, op, **args)


def prove(case: Case) -> list[str]:
    """Return what shows that the handle is broken.

    Raises:
        HarnessError: nothing shows it.
    """
    how = case.order.how
    if case.handle.kind is Kind.LINK:
        link = plan.link_of(case.topology, case.handle)
        return {"loss": _loss, "rate": _rate, "delay": _delay}.get(how, _cut)(case, link)
    return _KINDS[case.handle.kind](case)


def _cut(case: Case, link: Link) -> list[str]:
    """Show carrier, drops and that BFD is down at both ends."""
    node, router = link.machine.name, link.router.name
    seconds = _down_at_both_ends(case, [link])
    lines = [f"BFD not up at {node} and {router} {seconds:.2f} s later"]
    now = case.facts_of(node, router)
    if case.order.how == "carrier":
        carriers = now[f"{node} link {link.uplink}"], now[f"{router} link {link.port}"]
        if any("no carrier" not in each for each in carriers):
            raise FaultNotInjected(f"expected no carrier at either end, seen {carriers}")
        return [f"no carrier at {node} {link.uplink} and {router} {link.port}", *lines]
    drops = case.ask(node, "link.state", link=link.uplink)["drops"]
    wanted = {"one-way-in": {"ingress"}, "one-way-out": {"egress"}}
    directions = wanted.get(case.order.how, {"ingress", "egress"})
    if set(drops) != directions or not all(drops.values()):
        raise FaultNotInjected(f"expected drops at {sorted(directions)}, seen {drops}")
    counted = ", ".join(f"{count} at {hook}" for hook, count in sorted(drops.items()))
    return [f"dropped on {node} {link.uplink}: {counted}; carrier on", *lines]


def _down_at_both_ends(case: Case, links: list[Link]) -> float:
    """Wait until BFD is down at both ends of links; return how long that took."""
    ends = [(link.machine.name, link.uplink) for link in links]
    ends += [(link.router.name, link.port) for link in links]
    names = sorted({machine for machine, _ in ends})
    began = monotonic()

    def up() -> list[str]:
        now = case.facts_of(*names)
        return [f"{m} {name}" for m, name in ends if now.get(f"{m} bfd {name}") == "Up"]

    until(lambda: not up(), within_seconds=_BFD_SECONDS, what=f"BFD down at {ends}")
    return monotonic() - began


def _loss(case: Case, link: Link) -> list[str]:
    """Send numbered frames each way and count those that arrive."""
    ratio = plan.amount(case.order)
    node, router = (link.machine.name, link.uplink), (link.router.name, link.port)
    # What the router sends is dropped behind the counter of the node's link: there, ask the filter.
    sent = case.ask(node[0], "link.state", link=node[1])
    lines = [_share(_lost_frames(case, node, router), ratio, f"from {node[0]} to {router[0]}")]
    before = sent["drops"].get("ingress", 0)
    case.ask(router[0], "link.probe", link=router[1], **_small(_PROBES))
    after = case.ask(node[0], "link.state", link=node[1])["drops"]["ingress"]
    lines.append(_share(after - before, ratio, f"from {router[0]} to {node[0]}"))
    return lines


def _lost_frames(case: Case, sender: tuple[str, str], receiver: tuple[str, str]) -> int:
    def received() -> int:
        return int(case.ask(receiver[0], "link.state", link=receiver[1])["received_packets"])

    before = received()
    case.ask(sender[0], "link.probe", link=sender[1], **_small(_PROBES))
    return _PROBES - (received() - before)


def _small(count: int) -> dict[str, float]:
    return {"frames": count, "frame_bytes": _PROBE_BYTES, "seconds": 1.0}


def _share(lost: int, ratio: float, way: str) -> str:
    seen = lost / _PROBES
    # Sessions send a few frames of their own meanwhile: at most three dozen a second.
    margin = _SIGMAS * math.sqrt(ratio * (1 - ratio) / _PROBES) + 36 / _PROBES
    if abs(seen - ratio) > margin:
        raise FaultNotInjected(f"{seen:.1%} lost {way}, expected {ratio:.1%} +- {margin:.1%}")
    return f"{seen:.1%} of {_PROBES} frames lost {way}"


def _rate(case: Case, link: Link) -> list[str]:
    """Offer twice the rate each way and count the bytes that arrive."""
    bits = plan.amount(case.order)
    node, router = (link.machine.name, link.uplink), (link.router.name, link.port)
    return [_passed(case, node, router, bits), _passed(case, router, node, bits)]


def _passed(case: Case, sender: tuple[str, str], receiver: tuple[str, str], bits: float) -> str:
    def received() -> int:
        return int(case.ask(receiver[0], "link.state", link=receiver[1])["received_bytes"])

    frames = math.ceil(_OFFERED * bits * _RATE_SECONDS / 8 / _FULL_BYTES)
    before, began = received(), monotonic()
    case.ask(
        sender[0],
        "link.probe",
        link=sender[1],
        frames=frames,
        frame_bytes=_FULL_BYTES,
        seconds=_RATE_SECONDS,
    )
    seen = (received() - before) * 8 / (monotonic() - began)
    if not 0.5 * bits <= seen <= 1.2 * bits:
        raise FaultNotInjected(f"{seen:.3g} bit/s passed, expected about {bits:.3g}")
    return f"{seen / 1e6:.2f} Mbit/s pass from {sender[0]} to {receiver[0]}, twice as much offered"


def _delay(case: Case, link: Link) -> list[str]:
    """Ask the other end a few times; the way there and the way back are late."""
    seconds = plan.amount(case.order)
    trips = case.ask(link.machine.name, "link.round_trip", link=link.uplink, times=_ROUND_TRIPS)
    seen = [trip for trip in trips["round_trips_seconds"] if trip is not None]
    if len(seen) < _ROUND_TRIPS or min(seen) < 2 * seconds:
        raise FaultNotInjected(f"round trips of {seen} s, expected at least {2 * seconds:g} s")
    shown = f"{min(seen) * 1e3:.1f} to {max(seen) * 1e3:.1f} ms"
    return [f"round trips between {link.machine.name} and {link.router.name} take {shown}"]


def _router(case: Case) -> list[str]:
    links = list(case.topology.links_of(case.topology.machine(case.handle.machine)))
    seconds = _down_at_both_ends(case, links)
    return [f"BFD not up at both ends of {len(links)} links {seconds:.2f} s later"]


def _power(case: Case) -> list[str]:
    name = case.handle.machine
    links = list(case.topology.links_of(case.topology.machine(name)))
    routers = [link.router.name for link in links]

    def up() -> list[str]:
        now = case.facts_of(*routers)
        ends = [f"{link.router.name} bfd {link.port}" for link in links]
        return [end for end in ends if now.get(end) == "Up"]

    until(lambda: not up(), within_seconds=_BFD_SECONDS, what=f"BFD to {name} down")
    return [f"no process on {name}; BFD to it not up at {' and '.join(routers)}"]


def _service(case: Case) -> list[str]:
    machine, name, how = case.handle.machine, case.handle.part, case.order.how
    key = f"{machine} service {name}"
    if how == "kill":
        return [_killed(case)]
    wanted = "stands still" if how == "hang" else facts.GONE
    until(
        lambda: facts.service(case.lab, machine, name) == wanted,
        within_seconds=_SERVICE_SECONDS,
        what=f"{key} {wanted}",
    )
    return [f"{key}: {case.before.get(key)} before, {wanted} now", *_noticed(case)]


def _killed(case: Case) -> str:
    """Show that the process that was there is gone."""
    entry = case.broken.entries[0]
    killed = case.ask(entry.machine, "entry", id=entry.id)["observed"]["pids"]
    now = case.ask(entry.machine, "service.state", service=case.handle.part)["pid"]
    if not killed or now in killed:
        raise FaultNotInjected(f"process {now} of {case.handle.name} lives, {killed} was killed")
    return f"process {killed[0]} of {case.handle.name} was killed"


def _noticed(case: Case) -> list[str]:
    """Return what others see of a service that is gone, where they see it at once."""
    if case.handle.part == "bird":
        machine = case.topology.machine(case.handle.machine)
        seconds = _sessions_lost(case, list(case.topology.links_of(machine)))
        return [f"BGP to it down at all its neighbours {seconds:.2f} s later"]
    if case.handle.part in {"kube-apiserver", "etcd"} and len(case.topology.members) == 1:
        until(
            lambda: not case.lab.api_ready(),
            within_seconds=_SERVICE_SECONDS,
            what="the API not ready",
        )
        return ["the API is not ready"]
    return []


def _sessions_lost(case: Case, links: list[Link]) -> float:
    name, began = case.handle.machine, monotonic()
    far = {(link.router if link.machine.name == name else link.machine).name for link in links}

    def established() -> list[str]:
        now = case.facts_of(*sorted(far))
        return [each for each in far if now.get(f"{each} bgp to_{name}") == "Established"]

    until(lambda: not established(), within_seconds=_SERVICE_SECONDS, what=f"no BGP to {name}")
    return monotonic() - began


def _gpu(case: Case) -> list[str]:
    name, began = case.handle.machine, monotonic()

    def offered() -> dict[str, int]:
        items = case.lab.kubectl().items("node", name, "--request-timeout=5s")
        return readiness.gpus(items[0])

    # The node's own word for it lags; what it offered before is in the facts.
    until(
        lambda: _fewer(case.before[f"{name} node"], offered()),
        within_seconds=_GPU_SECONDS,
        what=f"fewer GPUs on {name} than before",
        poll_seconds=0.5,
    )
    seen = ", ".join(f"{key} {count}" for key, count in offered().items()) or "no GPU"
    before = case.before[f"{name} node"].partition(", ")[2]
    return [f"{name} offers {seen}, before {before}; {monotonic() - began:.1f} s later"]


def _fewer(before: str, offered: dict[str, int]) -> bool:
    """Return whether one resource shrank; the sentence tells what was offered before."""
    rows = [row.split() for row in before.split(", ")[1:]]
    return any(offered.get(name, 0) < int(count) for name, count in rows if count.isdigit())


def _store(case: Case) -> list[str]:
    how = case.order.how
    if how not in {"slow", "corrupt"}:
        return _service(case)
    seen = store_probe.fetch(case.topology)
    if how == "corrupt":
        if seen.sound:
            raise FaultNotInjected(f"{seen.path} arrived with the checksum it should have")
        return [f"{seen.path} arrived with another checksum than the store itself tells"]
    limit = plan.amount(case.order)
    if seen.bytes_per_second > 1.2 * limit:
        raise FaultNotInjected(f"{seen.bytes_per_second:.3g} bytes/s, expected {limit:.3g}")
    return [f"{seen.path} arrived with {seen.bytes_per_second:.3g} bytes/s"]


def _dns(case: Case) -> list[str]:
    """Show that a name that was found before is not, and that the nodes dropped the question."""
    before, now = case.before["dns"], facts.cluster(case.lab)["dns"]
    drops = {
        entry.machine: case.ask(entry.machine, "net.drops", id=entry.id)["drops"]
        for entry in case.broken.entries
    }
    if (before, now) != ("ok", "no answer") or not any(drops.values()):
        raise FaultNotInjected(f"lookup {before} before, {now} now; dropped {drops}")
    counted = ", ".join(f"{count} on {machine}" for machine, count in drops.items())
    return [f"a lookup by the client: {before} before, {now} now; packets dropped: {counted}"]


_KINDS: dict[Kind, Callable[[Case], list[str]]] = {
    Kind.ROUTER: _router,
    Kind.POWER: _power,
    Kind.SERVICE: _service,
    Kind.GPU: _gpu,
    Kind.STORE: _store,
    Kind.DNS: _dns,
}
