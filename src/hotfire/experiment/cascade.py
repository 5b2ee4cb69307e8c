"""What a fault did to those whom nobody aimed at: a pure function of the record."""

from collections.abc import Iterable

from hotfire.rundir import Event


def beyond(events: Iterable[Event], experiment: str) -> list[Event]:
    """Return the harm to others since a fault was ordered; what came before is not its doing."""
    mine = [one for one in events if one.experiment == experiment]
    ordered = [one.at_ns for one in mine if one.what == "injected"]
    start_ns = ordered[-1] if ordered else 0
    return [one for one in mine if one.what == "beyond-radius" and one.at_ns >= start_ns]


def cascades(events: Iterable[Event]) -> dict[str, list[str]]:
    """Return by each fault that was fired which others failed with it, in words; none is good."""
    known = list(events)
    fired = sorted({one.experiment for one in known if one.what == "injected" and one.experiment})
    return {
        fault: [f"{one.data.get('pod')}: {one.data.get('harm')}" for one in beyond(known, fault)]
        for fault in fired
    }
