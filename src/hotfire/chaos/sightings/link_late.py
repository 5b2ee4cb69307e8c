"""Round trips over a link take so much longer than before."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from pydantic import Field, JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import echoes
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class LinkLate(EachTarget):
    """The middle of many round trips, against what it was."""

    word: Literal["link-late"] = "link-late"
    at_least_seconds: float = Field(gt=0)
    """How much longer than before."""
    at_most_seconds: float = Field(gt=0)

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return how long round trips take."""
        return round_trips(world, plan)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one link."""
        more = added_seconds(scene, target)
        words = f"round trips over {target.link} of {target.node} take {more * 1e3:.1f} ms more"
        return Sighting.of(self.at_least_seconds <= more <= self.at_most_seconds, words)


def round_trips(world: World, plan: Plan) -> dict[str, JsonValue]:
    """Return the middle of the round trips over each target's link, by the target's uid.

    Raises:
        HarnessError: nothing comes back over one of them.
    """
    found = side_by_side(partial(_round_trip, world), plan.targets)
    return {one.uid: seconds for one, seconds in zip(plan.targets, found, strict=True)}


def added_seconds(scene: Scene, target: Target) -> float:
    """Return how much longer round trips take than before.

    Raises:
        HarnessError: nothing comes back, or nobody noted what was before.
    """
    before = scene.before.noted.get(target.uid)
    if not isinstance(before, float):
        raise HarnessError(f"nobody noted how long round trips over {target} took before")
    return _round_trip(scene.world, target) - before


def _round_trip(world: World, target: Target) -> float:
    seconds = echoes(world.agent, target).round_trip_seconds
    if seconds is None:
        raise HarnessError(f"no echo comes back over {target}")
    return seconds
