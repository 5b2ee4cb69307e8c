"""Packets between addresses that this node drops, whoever sends them, open connections too."""

from typing import Any

from hotfire.agent import arguments, nft
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_HOST_BITS = "/32"


class Block:
    """Drop what goes between ``between`` and ``and``, to ``port`` of the latter if one is named.

    An empty ``between`` is everybody; with ``spare_node`` all but this node itself, whose kubelet
    goes on probing its pods. Both directions are dropped, before any address translation.
    """

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse what would drop more than the caller can have meant."""
        arguments.only(args, {"between", "and", "port", "spare_node"})
        arguments.networks(args, "between")
        if not arguments.networks(args, "and"):
            raise OperationError("`and` takes at least one address; all against all is no fault")
        _port(args)

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Install the rules in one transaction."""
        # What the node itself sends passes the second hook only.
        hooks = ["prerouting"] if _spares_node(entry.args) else ["prerouting", "output"]
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority -310; policy accept;\n"
            f"{_rules(entry.args)}}}\n"
            for hook in hooks
        )
        nft.install(host, "inet", nft.table(entry), chains)
        return {"table": nft.table(entry)}

    def undo(self, host: Host, entry: Entry) -> None:
        """Remove the rules, if they are there."""
        nft.remove(host, "inet", nft.table(entry))

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the rules are gone."""
        return not nft.present(host, "inet", nft.table(entry))


def drops(host: Host, entry: Entry) -> list[int]:
    """Return how many packets each rule of an entry has met so far: there, back, of each hook."""
    mine = [rule for rule in nft.rules(host, "inet") if rule["table"] == nft.table(entry)]
    counting = [rule for rule in mine if any("counter" in each for each in rule["expr"])]
    return [nft.packets(rule) for rule in counting]


def _rules(args: dict[str, Any]) -> str:
    near, far = arguments.networks(args, "between"), arguments.networks(args, "and")
    port = _port(args)
    there, back = "", "fib daddr type != local" if _spares_node(args) else ""
    if port:
        there = f"meta l4proto {{ tcp, udp }} th dport {port}"
        back += f" meta l4proto {{ tcp, udp }} th sport {port}"
    return (
        f"{_side('saddr', near)} {_side('daddr', far)} {there} counter drop\n"
        f"{_side('saddr', far)} {_side('daddr', near)} {back} counter drop\n"
    )


def _spares_node(args: dict[str, Any]) -> bool:
    return args.get("spare_node") is True


def _side(end: str, networks: list[str]) -> str:
    if not networks:
        return ""
    listed = ", ".join(one.removesuffix(_HOST_BITS) for one in networks)
    return f"ip {end} {{ {listed} }}"


def _port(args: dict[str, Any]) -> int:
    if args.get("port") is None:
        return 0
    return arguments.port(args)
