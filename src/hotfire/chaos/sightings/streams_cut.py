"""Streams of the load beside were cut after their first token, as their engine died."""

from typing import Literal

from pydantic import Field

from hotfire.chaos import beside
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engine_restarted import restarted_since


class StreamsCut(SightingWord):
    """Rows of the history that say so, and another container than before."""

    word: Literal["streams-cut"] = "streams-cut"
    at_least: int = Field(default=1, gt=0)
    """How many there must be."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        rows = beside.rows_so_far(one.id for one in scene.entries)
        cut = [row for row in rows if row.stream_lost and row.first_ns is not None]
        words = f"the load beside: {len(cut)} of {len(rows)} streams were cut after a first token"
        seen = Sighting.of(len(cut) >= self.at_least, words)
        return all_of([seen, *(restarted_since(scene, one) for one in scene.plan.targets)])
