"""A link without carrier, and one that carries less than it should."""

import json
from typing import Any

from hotfire.agent import arguments, link
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError
from hotfire.agent.loss import refuse_isolation

_LOWEST_BITS, _HIGHEST_BITS = 8_000.0, 1e11
_LATENCY = "50ms"
# What may pass at once: two full frames, or what the rate brings in 10 ms.
_BURST_BYTES, _BURST_SECONDS = 3_200, 0.01


class CarrierDown:
    """Set a link down: both ends lose the carrier."""

    known = frozenset({"link", "may_isolate"})

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a link that is down already, and a second cut of one node."""
        arguments.only(args, self.known)
        name = arguments.link(args)
        if "UP" not in link.attributes(host, name)["flags"]:
            raise OperationError(f"{name} is set down already; healing would set it up")
        refuse_isolation(args, others)

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Set it down."""
        name = arguments.link(entry.args)
        host.run(["ip", "link", "set", "dev", name, "down"])
        return {"up": _is_up(host, name)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Set it up again; addresses stay, routes return with the link."""
        host.run(["ip", "link", "set", "dev", arguments.link(entry.args), "up"])

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether it is up."""
        return _is_up(host, arguments.link(entry.args))


class Rate:
    """Limit what a link sends (``bits_per_second``), by a token bucket."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a link whose queue somebody has configured: it could not be put back."""
        arguments.only(args, {"link", "bits_per_second"})
        _rate(args)
        if not _is_default(root_queue(host, arguments.link(args))):
            raise OperationError(f"{arguments.link(args)} has a queueing discipline of its own")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Put the bucket before the link."""
        name, rate = arguments.link(entry.args), _rate(entry.args)
        burst = max(_BURST_BYTES, round(rate / 8 * _BURST_SECONDS))
        bucket = ["rate", f"{rate:.0f}bit", "burst", str(burst), "latency", _LATENCY]
        host.run(["tc", "qdisc", "replace", "dev", name, "root", "tbf", *bucket])
        return {"queue": root_queue(host, name)["kind"]}

    def undo(self, host: Host, entry: Entry) -> None:
        """Take it away; the kernel puts its default back."""
        name = arguments.link(entry.args)
        if not _is_default(root_queue(host, name)):
            host.run(["tc", "qdisc", "del", "dev", name, "root"])

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the kernel's default is there."""
        return _is_default(root_queue(host, arguments.link(entry.args)))


def root_queue(host: Host, name: str) -> dict[str, Any]:
    """Return a link's root queueing discipline as `tc` tells it."""
    rows: list[dict[str, Any]] = json.loads(host.run(["tc", "-j", "qdisc", "show", "dev", name]))
    roots = [row for row in rows if row.get("root")]
    return roots[0] if roots else {"kind": "none", "handle": "0:"}


def _is_default(queue: dict[str, Any]) -> bool:
    # The kernel numbers what somebody configured; its own choice keeps zero.
    return bool(queue["handle"] == "0:")


def _is_up(host: Host, name: str) -> bool:
    return "UP" in link.attributes(host, name)["flags"]


def _rate(args: dict[str, Any]) -> float:
    above, at_most = _LOWEST_BITS - 1, _HIGHEST_BITS
    return arguments.number(args, "bits_per_second", above=above, at_most=at_most)
