"""Our tables in the node's packet filter: one for each entry, removed as a whole."""

import json
from typing import Any

from hotfire.agent.entries import Entry
from hotfire.agent.host import Host

PREFIX = "hotfire_"


def table(entry: Entry) -> str:
    """Return the name of an entry's table."""
    return PREFIX + entry.id.replace("-", "_")


def install(host: Host, family: str, name: str, body: str) -> None:
    """Install a table in one transaction."""
    host.run(["nft", "-f", "-"], text=f"table {family} {name} {{\n{body}\n}}\n")


def remove(host: Host, family: str, name: str) -> None:
    """Remove a table, if it is there."""
    # Declaring it first makes the deletion succeed where nothing was ever installed.
    host.run(["nft", "-f", "-"], text=f"add table {family} {name}\ndelete table {family} {name}\n")


def present(host: Host, family: str, name: str) -> bool:
    """Return whether a table is there."""
    return name in host.run(["nft", "list", "tables", family]).split()


def rules(host: Host, family: str) -> list[dict[str, Any]]:
    """Return our rules of one family, as nft tells them."""
    found = json.loads(host.run(["nft", "-j", "list", "ruleset", family]))["nftables"]
    rules = [one["rule"] for one in found if "rule" in one]
    return [rule for rule in rules if rule["table"].startswith(PREFIX)]


def packets(rule: dict[str, Any]) -> int:
    """Return what a rule's counter counted."""
    return sum(int(each["counter"]["packets"]) for each in rule["expr"] if "counter" in each)
