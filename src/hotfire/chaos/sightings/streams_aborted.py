"""The engines gave up as many streams as their clients have left."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, JsonValue

from hotfire.chaos import beside, engine_counts
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.errors import HarnessError
from hotfire.measure.history import FailureClass

# A canary's share goes to engines that are not asked, and who has just left is not counted yet.
_COUNTED_RATIO: Final = 0.8


class StreamsAborted(SightingWord):
    """The engines' own counter of aborts against the closed connections of our load."""

    word: Literal["streams-aborted"] = "streams-aborted"
    at_least: int = Field(gt=0)
    """How many aborts there must be."""

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return how many there were before."""
        del plan
        return {"aborted": engine_counts.aborted(world)}

    def look(self, scene: Scene) -> Sighting:
        """Return whether there are as many as connections were closed."""
        before = scene.before.noted.get("aborted")
        if not isinstance(before, float):
            raise HarnessError("nobody noted how many streams were aborted before the fault")
        closed = sum(_left(entry.id) for entry in scene.entries)
        since = engine_counts.aborted(scene.world) - before
        words = f"engines: {since:g} streams aborted since; clients left {closed} that had begun"
        return Sighting.of(since >= max(self.at_least, _COUNTED_RATIO * closed), words)


def _left(entry_id: str) -> int:
    """Return how many streams the load of an entry has left after their answer had begun."""
    load = beside.running(entry_id)
    ended = load.rows() if load else ()
    return sum(one.error_class is FailureClass.DEADLINE and bool(one.first_ns) for one in ended)
