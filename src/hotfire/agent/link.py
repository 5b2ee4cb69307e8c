"""One network link of the node as it is: carrier, counters, our drops, BFD sessions."""

import json
from typing import Any

from hotfire.agent import arguments, nft
from hotfire.agent.host import Host, OperationError

_BFD_STATES = {"AdminDown", "Down", "Init", "Up"}
_BFD_COLUMNS = 6


def state(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return what the node sees of a link: carrier, counters, our drops, BFD sessions.

    ``bfd`` is None where no BIRD answers; ``drops`` is empty where nothing of ours is installed.
    """
    link = arguments.link(args)
    shown = attributes(host, link)
    received, sent = shown["stats64"]["rx"], shown["stats64"]["tx"]
    return {
        "link": link,
        "carrier": "LOWER_UP" in shown["flags"],
        "received_packets": received["packets"],
        "received_bytes": received["bytes"],
        "sent_packets": sent["packets"],
        "sent_bytes": sent["bytes"],
        "carrier_changes": sent["carrier_changes"],
        "drops": _drops(host, link),
        "bfd": _bfd(host, link),
    }


def attributes(host: Host, link: str) -> dict[str, Any]:
    """Return what `ip` tells about a link; OperationError if it is not there."""
    found: list[dict[str, Any]] = json.loads(
        host.run(["ip", "-j", "-s", "-s", "link", "show", "dev", link])
    )
    return found[0]


def bfd_sessions(shown: str) -> list[dict[str, str]]:
    """Return each session `birdc show bfd sessions` lists.

    ``timeout_seconds`` is the time in which this end finds the path dead; ``since`` is in the words
    of the node's own clock.
    """
    rows = [line.split() for line in shown.splitlines()]
    return [
        {
            "neighbour": row[0],
            "interface": row[1],
            "state": row[2],
            "since": " ".join(row[3:-2]),
            "timeout_seconds": row[-1],
        }
        for row in rows
        if len(row) >= _BFD_COLUMNS and row[2] in _BFD_STATES
    ]


def _drops(host: Host, link: str) -> dict[str, int]:
    """Return dropped packets by direction, of every table of ours on this link."""
    drops: dict[str, int] = {}
    # The rule's comment names the link: nft 1.0 leaves a chain's device out of its JSON.
    for rule in [one for one in nft.rules(host, "netdev") if one.get("comment") == link]:
        drops[rule["chain"]] = drops.get(rule["chain"], 0) + nft.packets(rule)
    return drops


def _bfd(host: Host, link: str) -> list[dict[str, str]] | None:
    try:
        shown = host.run([*host.birdc, "show", "bfd", "sessions"])
    except OperationError:
        return None
    return [one for one in bfd_sessions(shown) if one["interface"] == link]
