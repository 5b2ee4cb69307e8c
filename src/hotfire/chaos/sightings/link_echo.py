"""Of a series of numbered echoes over a link, so many were lost, doubled or overtaken."""

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


class LinkEcho(EachTarget):
    """A share of echoes, measured between the node and the other end of its link."""

    word: Literal["link-echo"] = "link-echo"
    of: Literal["lost", "doubled", "overtaken"]
    at_least_percent: float = Field(gt=0, le=100)
    at_most_percent: float = Field(gt=0, le=100)
    both_ways: bool = False
    """Whether the bounds are of one way, and a probe meets the fault on both of its ways."""

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return the share before the fault; it must be far below what proves it."""
        found = side_by_side(partial(self._percent, world), plan.targets)
        for target, percent in zip(plan.targets, found, strict=True):
            if percent >= self.at_least_percent / 2:
                raise HarnessError(
                    f"{percent:.1f} % of echoes over {target} are {self.of} already, so"
                    f" {self.at_least_percent:g} % would prove nothing; nothing was fired"
                )
        return {one.uid: percent for one, percent in zip(plan.targets, found, strict=True)}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one link."""
        now = self._percent(scene.world, target)
        words = (
            f"echoes over {target.link} of {target.node}: {now:.1f} %"
            f"{' of each way' if self.both_ways else ''} {self.of},"
            f" {scene.before.noted.get(target.uid)} % before"
        )
        return Sighting.of(self.at_least_percent <= now <= self.at_most_percent, words)

    def _percent(self, world: World, target: Target) -> float:
        percent = echoes(world.agent, target).percent(self.of)
        return one_way(percent) if self.both_ways else percent


def one_way(percent: float) -> float:
    """Return the share of one way, where both ways alike make up a round trip's."""
    return float(100 * (1 - (1 - percent / 100) ** 0.5))
