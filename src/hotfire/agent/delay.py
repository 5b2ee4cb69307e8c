"""A link that sends late, or spoils a share of what it sends, in a process (`delay_line`)."""

from typing import Any

from hotfire.agent import arguments, delay_line, link, loss, nft
from hotfire.agent.children import Children
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_LONGEST_SECONDS = 5.0
# Longer than a burst of frames takes, so that some overtake; shorter than any timer of TCP.
_REORDER_SECONDS = 0.02
_OPERATIONS = frozenset({"link.delay", "link.mangle"})


class Delay:
    """Send every frame of a link ``seconds`` late; the other direction is the other end's."""

    known = frozenset({"link", "seconds"})

    def __init__(self) -> None:
        self._children = Children(delay_line.MODULE)

    def fate(self, args: dict[str, Any]) -> tuple[str, float]:
        """Return what is done to a frame, and for how many seconds it is held back."""
        seconds = arguments.number(args, "seconds", above=0, at_most=_LONGEST_SECONDS)
        return "late", seconds

    def share(self, args: dict[str, Any]) -> str:
        """Return nft's condition for a frame to be taken; empty for all."""
        return ""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a link that is not there, or that has such a process already."""
        arguments.only(args, self.known)
        self.fate(args)
        self.share(args)
        name = arguments.link(args)
        link.attributes(host, name)
        if any(one.op in _OPERATIONS and one.args["link"] == name for one in others):
            raise OperationError(f"{name} is late or spoilt already; heal that first")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Start the process, then send it what leaves the link."""
        name = arguments.link(entry.args)
        mtu = link.attributes(host, name)["mtu"]
        pid = self._children.start(entry, name, *self.fate(entry.args), mtu)
        tap = delay_line.tap_name(name)
        nft.install(
            host,
            "netdev",
            nft.table(entry),
            f'chain egress {{ type filter hook egress device "{name}" priority -500;\n'
            f"meta mark {delay_line.MARK:#x} accept\n"
            f'{self.share(entry.args)} counter fwd to "{tap}"\n}}',
        )
        return {"tap": tap, "pid": pid}

    def undo(self, host: Host, entry: Entry) -> None:
        """Let frames pass again, then end the process; it sends what still waits."""
        nft.remove(host, "netdev", nft.table(entry))
        self._children.end(entry)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether rules and process are gone."""
        gone = not nft.present(host, "netdev", nft.table(entry))
        return gone and not self._children.living(entry)


class Mangle(Delay):
    """Spoil a random share (``ratio``) of what a link sends: corrupt, duplicate or reorder it."""

    known = frozenset({"link", "how", "ratio"})

    def fate(self, args: dict[str, Any]) -> tuple[str, float]:
        how = arguments.choice(args, "how", {"corrupt", "duplicate", "reorder"})
        return ("late", _REORDER_SECONDS) if how == "reorder" else (how, 0.0)

    def share(self, args: dict[str, Any]) -> str:
        return loss.drawn(args)
