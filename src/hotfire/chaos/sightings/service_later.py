"""A Service answers so much later than before."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from pydantic import Field, JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import answer_seconds
from hotfire.chaos.services import address_of, ports_of, there
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class ServiceLater(EachTarget):
    """The middle of a few requests from a node, against what it was; any status is an answer."""

    word: Literal["service-later"] = "service-later"
    at_least_seconds: float | None = Field(default=None, gt=0)
    """How much longer than before; None: it may be as before."""
    at_most_seconds: float = Field(gt=0)

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return how long an answer takes, by each target's uid."""
        found = side_by_side(partial(_seconds, world), plan.targets)
        return {one.uid: seconds for one, seconds in zip(plan.targets, found, strict=True)}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one Service."""
        before = scene.before.noted.get(target.uid)
        if not isinstance(before, float):
            raise HarnessError(f"nobody noted how long {target} took to answer before")
        more = _seconds(scene.world, target) - before
        words = f"{target} answers {more * 1e3:.0f} ms later than before ({before * 1e3:.0f} ms)"
        enough = self.at_least_seconds is None or more >= self.at_least_seconds
        return Sighting.of(enough and more <= self.at_most_seconds, words)


def _seconds(world: World, target: Target) -> float:
    service = there(world, target)
    port = int(ports_of(service)[0]["port"])
    return answer_seconds(world.agent, target.node, address_of(service), port)
