"""What the node's routing daemon says of BGP: with whom it speaks, what it announces and hears."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.host import Host, OperationError

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FIELD = re.compile(r"\s+(?P<name>[A-Z][\w ]+): +(?P<value>\S+)")
# A line that tells no prefix is about another way to the prefix before it.
_ROUTE = re.compile(
    r"(?P<prefix>[0-9a-fA-F.:]+/\d+)?\s+\w+ \[.*?\].*?(?:\[AS(?P<origin>\d+).?\])?$"
)


def sessions(host: Host) -> list[dict[str, Any]]:
    """Return the node's BGP sessions, with the link of each and who is at its other end."""
    return [
        _session(host, name, said) for name, said in _protocols(_birdc(host, "protocols", "all"))
    ]


def routes(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Return which prefixes a session (``session``, its name) announces, and which it hears.

    With what is heard comes the autonomous system that the route began in; None where BIRD tells
    none, as for one of our own system.
    """
    arguments.only(args, {"session"})
    name = str(args.get("session", ""))
    if not _SYMBOL.fullmatch(name):
        raise OperationError(f"{name!r} is no name of a session")
    heard = prefixes(_birdc(host, "route", "protocol", name))
    return {
        "announced": [prefix for prefix, _ in prefixes(_birdc(host, "route", "export", name))],
        "heard": [{"prefix": prefix, "origin_as": origin} for prefix, origin in heard],
    }


def prefixes(shown: str) -> list[tuple[str, int | None]]:
    """Return prefix and origin of each route that `birdc show route` lists."""
    found, prefix = [], ""
    for line in shown.splitlines():
        if match := _ROUTE.fullmatch(line):
            prefix = match["prefix"] or prefix
            found.append((prefix, int(match["origin"]) if match["origin"] else None))
    return found


def _birdc(host: Host, *words: str) -> str:
    return host.run([*host.birdc, "show", *words])


def _protocols(shown: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and lines of each BGP protocol."""
    for block in re.split(r"\n(?=\S)", shown):
        head, *said = block.splitlines() or [""]
        words = head.split()
        if words[1:2] == ["BGP"]:
            yield words[0], said


def _session(host: Host, name: str, said: list[str]) -> dict[str, Any]:
    # The same names come again below, for each channel.
    fields = {found["name"]: found["value"] for line in said[::-1] if (found := _FIELD.match(line))}
    address, _, link = fields["Neighbor address"].partition("%")
    return {
        "name": name,
        "state": fields["BGP state"],
        "link": link or _link_to(host, address),
        "neighbour": address,
        "neighbour_as": int(fields["Neighbor AS"]),
        "own_as": int(fields["Local AS"]),
        "router_id": fields.get("Neighbor ID", ""),
    }


def _link_to(host: Host, address: str) -> str:
    """Return the link on the way to a neighbour of which BIRD tells none."""
    shown = json.loads(host.run(["ip", "-j", "route", "get", address]))
    return str(shown[0].get("dev", ""))
