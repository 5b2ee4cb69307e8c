"""Faults and observations on one network link of the node."""

import json
import re
from typing import Any

from hotfire.agent.entries import Entry
from hotfire.agent.host import Host, OperationError

_LINK = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_BFD_STATES = {"AdminDown", "Down", "Init", "Up"}
_BFD_COLUMNS = 6
_TABLE_PREFIX = "hotfire_"


class SilentLoss:
    """Drop every frame on a link, both directions, while the link itself stays up."""

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse a link that is not there, and a second cut of one node."""
        _attributes(host, _link(args))
        if cut := [entry.args["link"] for entry in others if entry.op == "link.silent_loss"]:
            raise OperationError(f"{cut[0]} is cut already; cutting a second link isolates a node")

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Install the drop rules in one transaction."""
        link, table = _link(entry.args), _table(entry.id)
        rules = "".join(
            f'add chain netdev {table} {hook} {{ type filter hook {hook} device "{link}"'
            " priority -500; policy accept; }\n"
            f'add rule netdev {table} {hook} counter drop comment "{link}"\n'
            for hook in ("ingress", "egress")
        )
        host.run(["nft", "-f", "-"], text=f"add table netdev {table}\n{rules}")
        return {"table": table}

    def undo(self, host: Host, entry: Entry) -> None:
        """Remove the rules, if they are there."""
        # Declaring the table first makes the deletion succeed where nothing was ever installed.
        table = _table(entry.id)
        host.run(["nft", "-f", "-"], text=f"add table netdev {table}\ndelete table netdev {table}")

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the rules are gone."""
        return _table(entry.id) not in host.run(["nft", "list", "tables", "netdev"]).split()


def state(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return what the node sees of a link: carrier, counters, our drops, BFD sessions.

    ``bfd`` is None where no BIRD answers; ``drops`` is empty where nothing of ours is installed.
    """
    link = _link(args)
    shown = _attributes(host, link)
    return {
        "link": link,
        "carrier": "LOWER_UP" in shown["flags"],
        "received_packets": shown["stats64"]["rx"]["packets"],
        "sent_packets": shown["stats64"]["tx"]["packets"],
        "drops": _drops(host, link),
        "bfd": _bfd(host, link),
    }


def _attributes(host: Host, link: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(
        host.run(["ip", "-j", "-s", "link", "show", "dev", link])
    )
    return found[0]


def _drops(host: Host, link: str) -> dict[str, int]:
    """Return dropped packets by direction, of every table of ours on this link."""
    found = json.loads(host.run(["nft", "-j", "list", "ruleset", "netdev"]))["nftables"]
    # The rule's comment names the link: nft 1.0 leaves a chain's device out of its JSON.
    rules = [one["rule"] for one in found if one.get("rule", {}).get("comment") == link]
    drops: dict[str, int] = {}
    for rule in rules:
        if rule["table"].startswith(_TABLE_PREFIX):
            packets = sum(e["counter"]["packets"] for e in rule["expr"] if "counter" in e)
            drops[rule["chain"]] = drops.get(rule["chain"], 0) + packets
    return drops


def _bfd(host: Host, link: str) -> list[dict[str, str]] | None:
    try:
        shown = host.run([*host.birdc, "show", "bfd", "sessions"])
    except OperationError:
        return None
    return [one for one in bfd_sessions(shown) if one["interface"] == link]


def bfd_sessions(shown: str) -> list[dict[str, str]]:
    """Return neighbour, interface and state of each session `birdc show bfd sessions` lists."""
    rows = [line.split() for line in shown.splitlines()]
    return [
        {"neighbour": row[0], "interface": row[1], "state": row[2]}
        for row in rows
        if len(row) >= _BFD_COLUMNS and row[2] in _BFD_STATES
    ]


def _table(entry_id: str) -> str:
    return _TABLE_PREFIX + entry_id.replace("-", "_")


def _link(args: dict[str, Any]) -> str:
    link = str(args.get("link", ""))
    if not _LINK.fullmatch(link):
        raise OperationError(f"{link!r} is no name of a link")
    return link
