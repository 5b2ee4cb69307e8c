"""A tenant asks for more than its limit: all of it is sent, and what is too much is refused."""

from typing import Literal

from pydantic import Field

from hotfire.chaos import beside
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.arrivals_raised import arrived
from hotfire.chaos.step import step_of
from hotfire.chaos.steps.tenant_load import TenantLoad, limited
from hotfire.measure.history import FailureClass


class OverLimit(SightingWord):
    """As many requests sent as were planned, and answers 429 among them."""

    word: Literal["over-limit"] = "over-limit"
    at_least: int = Field(gt=0)
    """How many must be refused."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        step = step_of(scene.entries[0])
        if not isinstance(step, TenantLoad):
            return Sighting("no", "no tenant asks for more than its limit")
        _, limit = limited(scene.world.profile)
        sent = arrived(scene, step.times * limit.requests / limit.seconds)
        rows = beside.rows_so_far(one.id for one in scene.entries)
        refused = sum(row.error_class is FailureClass.HTTP_429 for row in rows)
        words = f"{refused} of {len(rows)} requests of the tenant answered 429"
        return all_of([sent, Sighting.of(refused >= self.at_least, words)])
