"""Whoever waited for a first token as the engine died was served after all, or told, in time."""

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.caught_waiting import caught
from hotfire.chaos.sightings.cuts_told import differs, recorded_beside
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.measure.history import FailureClass, Request
from hotfire.profile import TargetProfile

_READY = EnginesReady()
_HUNG: Final = frozenset(
    {
        FailureClass.HEADER_TIMEOUT,
        FailureClass.TTFT_TIMEOUT,
        FailureClass.STALL_TIMEOUT,
        FailureClass.DEADLINE,
    }
)
_HALF: Final = frozenset({FailureClass.TRUNCATED_NO_DONE, FailureClass.MALFORMED})
"""A success by its status, and no answer in it."""


class WaitersTold(SightingWord):
    """None of them hung until its client left, none got a success without the answer in it."""

    word: Literal["waiters-told"] = "waiters-told"
    seconds: float = Field(gt=0)
    """How long a request has to have waited to be one of them; as for ``caught-waiting``."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether it is so of all of them, and as many engines are Ready as before."""
        found = [_seen(caught(rows, self.seconds), asked) for rows, asked in recorded_beside(scene)]
        return all_of([*found, _READY.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _READY.within_seconds(profile, over=over)


def _seen(rows: Sequence[Request], asked: int) -> Sighting:
    if not rows:
        return Sighting("unknown", "the load beside recorded nobody who waited")
    hung = sum(row.error_class in _HUNG for row in rows)
    half = sum(row.error_class in _HALF or (row.complete and differs(row, asked)) for row in rows)
    served = sum(row.complete and not differs(row, asked) for row in rows)
    told = len(rows) - hung - half - served
    words = f"of {len(rows)} who waited {served} were served and {told} were told"
    return Sighting.of(not hung and not half, f"{words}, {hung} hung, {half} got half an answer")
