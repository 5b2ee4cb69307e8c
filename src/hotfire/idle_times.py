"""Who closes an idle connection first, read from the lines of ``engine/idle_peer.py``. Pure."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JITTER_SECONDS = 0.2
"""How far around an idle time requests are sent, and what two idle times must differ by."""
REQUESTS = 200
# Three times a usual idle time of 30 s, which is measured as a little more.
_WAVES_WITHIN_SECONDS = 95.0
_FEWEST_WAVES, _MOST_WAVES = 2, 8

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTime:
    """How long one side kept its idle connections, as the other side saw it."""

    closed_seconds: tuple[float, ...]
    """Idle time at the close of each connection that was closed, sorted."""
    still_open: int
    """Connections that were open when looked at last."""
    announced: int
    """Connections whose close was announced with the answer; nobody sends into those."""
    watched_seconds: float
    """How long the open ones have been idle."""

    @property
    def seconds(self) -> float | None:
        """The median over all connections; None: more than ``watched_seconds``, or announced.

        One that went early, as when a gateway is configured anew, is not what the side does.
        """
        middle = (len(self.closed_seconds) + self.still_open) // 2
        return self.closed_seconds[middle] if middle < len(self.closed_seconds) else None

    def at_least(self) -> float:
        """Return the idle time, or how much of it was seen to pass; infinite if none is needed."""
        if self.seconds is not None:
            return self.seconds
        return self.watched_seconds if self.still_open else math.inf

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"{self.seconds:.1f} s"
        if self.still_open:
            return f"longer than {self.watched_seconds:.0f} s"
        return "no time: each answer announces the close"


def events(log: str) -> list[Event]:
    """Return the events a peer printed.

    Raises:
        ValueError: a line is no JSON; the program broke.
    """
    return [found for line in log.splitlines() if "event" in (found := json.loads(line))]


def idle_time(seen: Iterable[Event], *, watched_seconds: float) -> IdleTime:
    """Return what the events of one side's connections come to."""
    used, ended, announced = set(), {}, set()
    for event in seen:
        connection = event["connection"]
        if event["event"] == "idle":
            used.add(connection)
        elif event["event"] == "closed":
            ended[connection] = float(event["idle_seconds"])
        elif event["event"] == "announced":
            announced.add(connection)
    return IdleTime(
        closed_seconds=tuple(sorted(ended.values())),
        still_open=len(used - set(ended) - announced),
        announced=len(announced),
        watched_seconds=watched_seconds,
    )


def by_peer(seen: Iterable[Event], *, watched_seconds: float) -> dict[str, IdleTime]:
    """Return the idle time of each peer."""
    groups: dict[str, list[Event]] = {}
    for event in seen:
        groups.setdefault(event["peer"], []).append(event)
    return {
        peer: idle_time(group, watched_seconds=watched_seconds) for peer, group in groups.items()
    }


def shortest(times: Iterable[IdleTime]) -> float | None:
    """Return the shortest idle time that was seen; None: no side has closed yet."""
    return min((one.seconds for one in times if one.seconds is not None), default=None)


def race(engine: IdleTime, gateway: IdleTime) -> str | None:
    """Return why the gateway may send into the engine's close; None: nothing says so."""
    if engine.seconds is None:
        return None
    kept = gateway.at_least()
    if math.isinf(kept) or kept + JITTER_SECONDS <= engine.seconds:
        return None
    return f"the engine closes idle connections after {engine}, the gateway {gateway}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """When requests are sent: ``clients`` at once, again and again."""

    spacing_seconds: float
    """From the answers of one wave to the next wave, before its offset."""
    offsets_seconds: tuple[float, ...]
    """One for each wave, spread evenly over the jitter to both sides."""
    clients: int

    @property
    def requests(self) -> int:
        return self.clients * len(self.offsets_seconds)


def plan_waves(spacing_seconds: float) -> Waves:
    """Return at least ``REQUESTS`` requests in as many waves as fit into a minute and a half."""
    fitting = int(_WAVES_WITHIN_SECONDS // spacing_seconds)
    count = max(_FEWEST_WAVES, min(_MOST_WAVES, fitting))
    return waves(count, math.ceil(REQUESTS / count), spacing_seconds)


def waves(count: int, clients: int, spacing_seconds: float) -> Waves:
    steps = [(2 * number + 1) / count - 1 for number in range(count)]
    return Waves(
        spacing_seconds=spacing_seconds,
        offsets_seconds=tuple(round(JITTER_SECONDS * step, 3) for step in steps),
        clients=clients,
    )
