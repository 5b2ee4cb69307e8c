"""The platform refuses what it cannot carry: the load beside the rated one is told so."""

from typing import Literal

from pydantic import Field

from hotfire.chaos import beside
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.measure.history import FailureClass, Request

_REFUSALS = frozenset({FailureClass.HTTP_429, FailureClass.HTTP_503})


class RequestsRefused(SightingWord):
    """Answers 429 or 503, counted in the history of the load beside."""

    word: Literal["requests-refused"] = "requests-refused"
    at_least: int = Field(gt=0)
    """How many there must be."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether so many were refused."""
        load = beside.running(scene.entries[0].id)
        if load is None:
            return Sighting("no", "no load beside runs")
        rows = load.rows()
        refused = [row for row in rows if row.error_class in _REFUSALS]
        slowest = max(map(_seconds, refused), default=0.0)
        words = f"{len(refused)} of {len(rows)} requests refused, the slowest in {slowest:.2f} s"
        return Sighting.of(len(refused) >= self.at_least, words)


def _seconds(row: Request) -> float:
    return ((row.end_ns or row.sched_ns) - row.sched_ns) / 1e9
