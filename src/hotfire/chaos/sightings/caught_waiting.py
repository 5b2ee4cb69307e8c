"""Requests of the load beside waited for their first token as the engine that had them died."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from hotfire.chaos import beside
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engine_restarted import restarted_since
from hotfire.measure.history import Request


class CaughtWaiting(SightingWord):
    """Rows of the history that say so, and another container than before.

    The engine stands still before it is killed. Who waited for about as long as it stood, without
    a first token, was sent to it: no other engine lets anybody wait so.
    """

    word: Literal["caught-waiting"] = "caught-waiting"
    seconds: float = Field(gt=0)
    """How long a request has to have waited: well above what an engine needs for a first token."""
    at_least: int = Field(default=1, gt=0)
    """How many there must be."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        rows = beside.rows_so_far(one.id for one in scene.entries)
        found = caught(rows, self.seconds)
        words = f"the load beside: {len(found)} of {len(rows)} requests waited {self.seconds:g} s"
        seen = Sighting.of(len(found) >= self.at_least, f"{words} for a first token")
        return all_of([seen, *(restarted_since(scene, one) for one in scene.plan.targets)])


def caught(rows: Iterable[Request], seconds: float) -> list[Request]:
    """Return the requests that waited so long for a first token, whether one came or not."""
    return [row for row in rows if row.sent and _waited(row) >= seconds]


def _waited(row: Request) -> float:
    until_ns = row.first_ns or row.end_ns or row.sched_ns
    return (until_ns - row.sched_ns) / 1e9
