"""The proof that a link is really broken: BFD, carriers, counted frames and bytes, round trips."""

import math
from time import monotonic

from hotfire.errors import FaultNotInjected
from hotfire.lab.handles import arrivals, plan
from hotfire.lab.handles.case import Case
from hotfire.lab.shape.topology import Link, Machine
from hotfire.waiting import until

# BFD gives a path up after 0.3 s; the rest is what a busy machine may add.
BFD_SECONDS = 5.0
_PROBES, _PROBE_SECONDS = 2000, 1.0
_PROBE_BYTES, _FULL_BYTES = 100, 1400
# A loss that is there passes for none once in a million times. So many frames are sent that none
# lost never passes: exp(-15) is less than half of that.
_FALSE_ALARM, _SURELY_SOME = 1e-6, 15
_OFFERED = 2.0
_RATE_SECONDS = 1.0
_ROUND_TRIPS, _ECHO_SECONDS = 5, 0.5
# More than the longest delay there and back, and what a busy machine may add.
_LATE_SECONDS = 4.0


def prove(case: Case, link: Link) -> list[str]:
    """Return what shows that the link is broken in the way that was asked for.

    Raises:
        HarnessError: nothing shows it.
    """
    ways = {"loss": _loss, "rate": _rate, "delay": _delay}
    return ways.get(case.order.how, _cut)(case, link)


def _cut(case: Case, link: Link) -> list[str]:
    """Show carrier, drops and that BFD is down at both ends."""
    node, router = link.machine.name, link.router.name
    seconds = down_at_both_ends(case, [link])
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


def down_at_both_ends(case: Case, links: list[Link]) -> float:
    """Wait until BFD is down at both ends of links; return how long that took."""
    ends = [(link.machine.name, link.uplink) for link in links]
    ends += [(link.router.name, link.port) for link in links]
    names = sorted({machine for machine, _ in ends})
    began = monotonic()

    def up() -> list[str]:
        now = case.facts_of(*names)
        return [f"{m} {name}" for m, name in ends if now.get(f"{m} bfd {name}") == "Up"]

    until(lambda: not up(), within_seconds=BFD_SECONDS, what=f"BFD down at {ends}")
    return monotonic() - began


def _loss(case: Case, link: Link) -> list[str]:
    """Send frames each way and count those that arrive."""
    node, router = (link.machine, link.uplink), (link.router, link.port)
    return [_lost(case, *way) for way in ((node, router), (router, node))]


def _lost(case: Case, sender: tuple[Machine, str], receiver: tuple[Machine, str]) -> str:
    ratio = plan.amount(case.order)
    count = max(_PROBES, math.ceil(_SURELY_SOME / ratio))
    with arrivals.counting(*receiver) as arrived:
        words = {"frames": count, "frame_bytes": _PROBE_BYTES, "seconds": _PROBE_SECONDS}
        case.ask(sender[0].name, "link.probe", link=sender[1], **words)
        lost = count - arrived()
    return lost_in_words(lost, count, ratio, f"from {sender[0].name} to {receiver[0].name}")


def lost_in_words(lost: int, count: int, ratio: float, way: str) -> str:
    """Return which share of frames was lost.

    Raises:
        FaultNotInjected: it is not what chance makes of that ratio.
    """
    # Brings scipy along, which nothing else here needs.
    from hotfire.measure.counts import accepted_counts  # noqa: PLC0415

    accepted = accepted_counts(count, ratio, alpha=_FALSE_ALARM)
    if lost not in accepted:
        raise FaultNotInjected(f"{lost} of {count} frames lost {way}, expected {accepted}")
    return f"{lost / count:.1%} of {count} frames lost {way}"


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
    words = {"times": _ROUND_TRIPS, "seconds": _ECHO_SECONDS, "wait_seconds": _LATE_SECONDS}
    seen = case.ask(link.machine.name, "link.echoes", link=link.uplink, **words)
    if seen["lost"] or seen["shortest_seconds"] < 2 * seconds:
        raise FaultNotInjected(f"expected round trips of at least {2 * seconds:g} s, seen {seen}")
    shown = f"{seen['shortest_seconds'] * 1e3:.1f} to {seen['longest_seconds'] * 1e3:.1f} ms"
    return [f"round trips between {link.machine.name} and {link.router.name} take {shown}"]
