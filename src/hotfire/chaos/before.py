"""What was there before a fault was fired, so that only what is new afterwards proves it."""

import re
from datetime import UTC, datetime
from typing import Final

from hotfire.chaos import blast
from hotfire.chaos.armed import Shot
from hotfire.chaos.undo import Record

KEY: Final = "before"
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d) ")
"""What the kubelet puts before each line of a log, in its node's time zone; zeros at the end may be
left out."""


class Before(Record):
    """The target as it was when the order was about to be given; kept with the run's events."""

    engines: tuple[str, ...] = ()
    """Uids of all engine pods, whatever their state."""
    restarts: int = 0
    """Of the target's engine container."""
    last_logged: str = ""
    """When the target's engine last wrote to its log, by its node's clock; empty: never."""


def observed(shot: Shot, *, log: bool = False) -> Before:
    """Return what is there now; ``log`` for faults whose effect is read from the engine's log."""
    target, name = shot.target, shot.profile.engine.container
    pods = blast.engines(shot.cluster, shot.profile)
    pod = next((one for one in pods if one.uid == target.uid), None)
    container = pod.container(name) if pod else None
    text = ""
    if log:
        text = shot.cluster.logs(target.namespace, target.pod, container=name, timestamps=True)
    return Before(
        engines=tuple(one.uid for one in pods),
        restarts=container.restarts if container else target.restarts,
        last_logged=max((stamp for stamp, _ in _lines(text)), default=""),
    )


def recorded(shot: Shot) -> Before:
    """Return what was there when the fault was fired; where nobody noted it, when it was planned.

    A pod of either moment is not new.
    """
    mine = [one for one in shot.run.events() if one.experiment == shot.plan.experiment]
    fired = next((one for one in reversed(mine) if one.what == "injected"), None)
    noted = fired.data.get(KEY) if fired else None
    planned = (*shot.plan.before, *(one.uid for one in (*shot.plan.targets, *shot.plan.bystanders)))
    if noted is None:
        return Before(engines=planned, restarts=shot.target.restarts)
    found = Before.model_validate(noted)
    return found.model_copy(update={"engines": (*planned, *found.engines)})


def logged_since(log: str, before: Before) -> str:
    """Return the lines of a log, read with time stamps, that were not there before."""
    return "\n".join(text for stamp, text in _lines(log) if stamp > before.last_logged)


def _lines(log: str) -> list[tuple[str, str]]:
    """Return stamp and text of each line; stamps are UTC and of one length, so that they sort."""
    found = []
    for line in log.split("\n"):
        if match := _STAMP.match(line):
            moment = datetime.fromisoformat(match[1] + match[3]).astimezone(UTC)
            stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{(match[2] or '').ljust(9, '0')}"
            found.append((stamp, line[match.end() :]))
    return found
