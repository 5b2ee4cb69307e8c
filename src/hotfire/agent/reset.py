"""The open TCP connections to one address: each is reset once, and new ones live."""

from typing import Any

from hotfire.agent import arguments, nft
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host

_CLIENT, _SERVER = "ip saddr . tcp sport", "ip daddr . tcp dport"


class Reset:
    """Reset what others have open to an ``address`` and ``port`` of a pod here.

    Who said SYN since the rules came is new and left alone, and so is what the node itself has
    open, such as the kubelet's probes.
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse what is no address and port."""
        arguments.only(args, {"address", "port"})
        _server(args)

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Install the rules in one transaction."""
        nft.install(host, "inet", nft.table(entry), _rules(*_server(entry.args)))
        return {"table": nft.table(entry)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Remove the rules, if they are there."""
        nft.remove(host, "inet", nft.table(entry))

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the rules are gone."""
        return not nft.present(host, "inet", nft.table(entry))


def _rules(address: str, port: int) -> str:
    """Return sets and chain.

    What a client sends is answered with a reset in the server's name. What the server sends becomes
    one itself, once: the client has no such connection any more and resets whatever follows, which
    ends the server's half.
    """
    there = f"ip daddr {address} tcp dport {port}"
    back = f"ip saddr {address} tcp sport {port}"
    return (
        f"set fresh {{ typeof {_CLIENT}; flags dynamic; size 65535; }}\n"
        f"set told {{ typeof {_CLIENT}; flags dynamic; size 65535; }}\n"
        "chain prerouting { type filter hook prerouting priority -310; policy accept;\n"
        f"{there} tcp flags & (syn | ack) == syn add @fresh {{ {_CLIENT} }} accept\n"
        "tcp flags & rst == rst accept\n"
        f"{there} fib saddr type != local {_CLIENT} != @fresh counter reject with tcp reset\n"
        f"{back} fib daddr type != local {_SERVER} != @fresh {_SERVER} != @told"
        f" add @told {{ {_SERVER} }} counter tcp flags set rst\n"
        "}"
    )


def _server(args: dict[str, Any]) -> tuple[str, int]:
    address = arguments.address(args)
    port = arguments.port(args)
    return address, port
