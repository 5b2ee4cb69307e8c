"""Frames of a link that vanish: all, one way only, or a share of them; the link itself stays up."""

from typing import Any

from hotfire.agent import arguments, link, nft
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

# The smallest share an argument can name is one in this many.
_DRAWS = 10_000
_HOOKS = {"in": ("ingress",), "out": ("egress",), "both": ("ingress", "egress")}
_DEVICE = {"ingress": "iifname", "egress": "oifname"}
# Faults that leave no traffic on a link, for a while at least.
CUTTING = frozenset({"link.silent_loss", "link.one_way_loss", "link.carrier_down", "link.flap"})


def refuse_isolation(args: dict[str, Any], others: list[Entry]) -> None:
    """Refuse a second cut of one node, unless the caller says that isolation is meant."""
    if args.get("may_isolate") is True:
        return
    for entry in others:
        if entry.op in CUTTING:
            cut = arguments.links(entry.args)[0]
            raise OperationError(f"{cut} is cut already; cutting a second link isolates a node")


def drawn(args: dict[str, Any]) -> str:
    """Return nft's condition for a random share (``ratio``) of the frames; empty for all."""
    taken = max(1, round(arguments.number(args, "ratio", above=0, at_most=1) * _DRAWS))
    return f"numgen random mod {_DRAWS} < {taken}" if taken < _DRAWS else ""


class SilentLoss:
    """Drop every frame on a link, both directions, while the link itself stays up."""

    known = frozenset({"link", "links", "may_isolate"})

    def hooks(self, args: dict[str, Any]) -> tuple[str, ...]:
        """Return where frames are dropped: coming in, going out, or both."""
        return _HOOKS["both"]

    def share(self, args: dict[str, Any]) -> str:
        """Return nft's condition for a frame to be dropped; empty for all."""
        return ""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a link that is not there, and a second cut of one node."""
        arguments.only(args, self.known)
        self.hooks(args)
        self.share(args)
        for name in arguments.links(args):
            link.attributes(host, name)
        refuse_isolation(args, others)

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Install the drop rules in one transaction."""
        names, table = arguments.links(entry.args), nft.table(entry)
        devices = ", ".join(f'"{name}"' for name in names)
        body = ""
        for hook in self.hooks(entry.args):
            rules = "".join(
                f'{_DEVICE[hook]} "{name}" {self.share(entry.args)} counter drop comment "{name}"\n'
                for name in names
            )
            head = (
                f"type filter hook {hook} devices = {{ {devices} }} priority -500; policy accept;"
            )
            body += f"chain {hook} {{\n{head}\n{rules}}}\n"
        nft.install(host, "netdev", table, body)
        return {"table": table}

    def undo(self, host: Host, entry: Entry) -> None:
        """Remove the rules, if they are there."""
        nft.remove(host, "netdev", nft.table(entry))

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the rules are gone."""
        return not nft.present(host, "netdev", nft.table(entry))


class OneWayLoss(SilentLoss):
    """Drop every frame of one direction: ``in`` towards the node, ``out`` away from it."""

    known = SilentLoss.known | {"direction"}

    def hooks(self, args: dict[str, Any]) -> tuple[str, ...]:
        return _HOOKS[arguments.choice(args, "direction", {"in", "out"})]


class PacketLoss(SilentLoss):
    """Drop a random share of the frames (``ratio``), of both directions unless one is named."""

    known = SilentLoss.known | {"direction", "ratio"}

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        super().check(host, {"may_isolate": True, **args}, others)

    def hooks(self, args: dict[str, Any]) -> tuple[str, ...]:
        return _HOOKS[arguments.choice(args, "direction", _HOOKS, "both")]

    def share(self, args: dict[str, Any]) -> str:
        return drawn(args)
