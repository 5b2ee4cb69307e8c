"""What was there before a fault was fired, so that only what is new afterwards proves it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from pydantic import Field, JsonValue

from hotfire.chaos.plan import Plan, World, engines
from hotfire.chaos.written import Target, Written
from hotfire.cluster import Pod
from hotfire.rundir import Event

KEY: Final = "before"
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d) ")
"""What the kubelet puts before each line of a log, in its node's time zone; zeros at the end may be
left out."""


class Before(Written):
    """What was there as the order was about to be given; kept with the run's events."""

    engines: tuple[str, ...] = ()
    """Uids of all engine pods, whatever their state."""
    restarts: dict[str, int] = Field(default_factory=dict)
    """Of the engine container, by the uid of its pod."""
    last_logged: dict[str, str] = Field(default_factory=dict)
    """When each target's engine last wrote to its log, by its node's clock; empty: never."""
    noted: dict[str, JsonValue] = Field(default_factory=dict)
    """What the fault's sightings wanted to remember, by names that say the same to both."""


def observed(
    world: World,
    plan: Plan,
    *,
    logged: Iterable[Target] = (),
    noted: Mapping[str, JsonValue] | None = None,
) -> Before:
    """Return what is there now; ``logged`` are the targets whose engines' logs are read later."""
    pods = engines(world.cluster, world.profile)
    name = world.profile.engine.container
    logs = {one.uid: _last_logged(world, one) for one in logged}
    return Before(
        engines=tuple(one.uid for one in pods),
        restarts=_planned_restarts(plan) | _restarts(pods, name),
        last_logged=logs,
        noted=dict(noted or {}),
    )


def recorded(events: Sequence[Event], plan: Plan) -> Before:
    """Return what was there when the fault was fired; where nobody noted it, when it was planned.

    A pod of either moment is not new.
    """
    mine = [one for one in events if one.experiment == plan.experiment and one.what == "injected"]
    noted = mine[-1].data.get(KEY) if mine else None
    planned = (*plan.before, *(one.uid for one in (*plan.targets, *plan.bystanders)))
    if noted is None:
        return Before(engines=planned, restarts=_planned_restarts(plan))
    found = Before.model_validate(noted)
    return found.model_copy(update={"engines": (*planned, *found.engines)})


def logged_since(log: str, last_logged: str) -> str:
    """Return the lines of a log, read with time stamps, that are younger than a stamp."""
    return "\n".join(text for stamp, text in _lines(log) if stamp > last_logged)


def _planned_restarts(plan: Plan) -> dict[str, int]:
    return {one.uid: one.restarts for one in (*plan.targets, *plan.bystanders)}


def _restarts(pods: Sequence[Pod], name: str) -> dict[str, int]:
    return {pod.uid: one.restarts for pod in pods if (one := pod.container(name)) is not None}


def _last_logged(world: World, target: Target) -> str:
    container = world.profile.engine.container
    text = world.cluster.logs(target.namespace, target.name, container=container, timestamps=True)
    return max((stamp for stamp, _ in _lines(text)), default="")


def _lines(log: str) -> list[tuple[str, str]]:
    """Return stamp and text of each line; stamps are UTC and of one length, so that they sort."""
    found = []
    for line in log.split("\n"):
        if match := _STAMP.match(line):
            moment = datetime.fromisoformat(match[1] + match[3]).astimezone(UTC)
            stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{(match[2] or '').ljust(9, '0')}"
            found.append((stamp, line[match.end() :]))
    return found
