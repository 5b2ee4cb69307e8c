"""The load beside the rated one is sent as planned, for long enough to be felt."""

from typing import Final, Literal

from hotfire.chaos import beside
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.chaos.step import step_of
from hotfire.chaos.steps.more_load import MoreLoad

_SENT_RATIO: Final = 0.9
_FELT_SECONDS: Final = 5.0


class ArrivalsRaised(SightingWord):
    """Requests that were sent, counted in their history."""

    word: Literal["arrivals-raised"] = "arrivals-raised"

    def look(self, scene: Scene) -> Sighting:
        """Return whether so many were sent as were planned."""
        step = step_of(scene.entries[0])
        if not isinstance(step, MoreLoad):
            return Sighting("no", "no load beside runs")
        return arrived(scene, float(step.changes(scene.world)["rate_per_second"]))


def arrived(scene: Scene, rate: float) -> Sighting:
    """Return whether the load beside was sent at a rate, for long enough."""
    load = beside.running(scene.entries[0].id)
    if load is None:
        return Sighting("no", "no load beside runs")
    if not load.alive():
        return Sighting("no", "the load beside ended by itself")
    # Rows come when requests end: those younger than the slowest of them cannot be counted yet.
    rows = [row.sched_ns for row in load.rows() if row.sent]
    span = (max(rows) - min(rows)) / 1e9 if rows else 0.0
    wanted = _SENT_RATIO * rate * max(span, _FELT_SECONDS)
    words = f"{len(rows)} requests in {span:.1f} s beside the rated ones, {rate:g}/s planned"
    return Sighting.of(span >= _FELT_SECONDS and len(rows) >= wanted, words)
