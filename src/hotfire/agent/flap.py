"""A link that loses and regains its carrier again and again, by a process of ours (`flapper`)."""

from typing import Any

from hotfire.agent import arguments, flapper, link
from hotfire.agent.carrier import CarrierDown
from hotfire.agent.children import Children
from hotfire.agent.entries import Entry
from hotfire.agent.host import Host

_LONGEST_SECONDS, _MOST = 60.0, 1000


class Flap(CarrierDown):
    """Set a link down for ``down_seconds`` and up for ``up_seconds``, ``times`` times."""

    known = CarrierDown.known | {"down_seconds", "up_seconds", "times"}

    def __init__(self) -> None:
        self._children = Children(flapper.MODULE)

    def check(self, host: Host, args: dict[str, Any], others: list[Entry]) -> None:
        """Refuse times that make no sense, a link that is down already, and a second cut."""
        _rhythm(args)
        super().check(host, args, others)

    def inject(self, host: Host, entry: Entry) -> dict[str, Any]:
        """Start the process."""
        name = arguments.link(entry.args)
        before = link.attributes(host, name)["stats64"]["tx"]["carrier_changes"]
        pid = self._children.start(entry, name, *_rhythm(entry.args))
        return {"pid": pid, "carrier_changes_before": before}

    def undo(self, host: Host, entry: Entry) -> None:
        """End the process, then set the link up: it may have been killed while it was down."""
        self._children.end(entry)
        super().undo(host, entry)

    def healed(self, host: Host, entry: Entry) -> bool:
        """Return whether the process is gone and the link is up."""
        return not self._children.living(entry) and super().healed(host, entry)


def _rhythm(args: dict[str, Any]) -> tuple[float, float, int]:
    down = arguments.number(args, "down_seconds", above=0, at_most=_LONGEST_SECONDS)
    up = arguments.number(args, "up_seconds", above=0, at_most=_LONGEST_SECONDS)
    return down, up, round(arguments.number(args, "times", above=0, at_most=_MOST))
