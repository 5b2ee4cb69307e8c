"""A link sends so many bits in a second while more are offered to it."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

from pydantic import Field, JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.readings import bits_per_second
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.together import side_by_side
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class LinkCarries(EachTarget):
    """The rate of a link, counted by its node behind the queue."""

    word: Literal["link-carries"] = "link-carries"
    offered_bits_per_second: float = Field(gt=0)
    at_least_bits_per_second: float = Field(default=0.0, ge=0)
    at_most_bits_per_second: float | None = Field(default=None, gt=0)
    """None: no bound; then it proves nothing of before."""

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return the rate before the fault; it must be above what proves it."""
        found = side_by_side(partial(self._rate, world), plan.targets)
        for target, rate in zip(plan.targets, found, strict=True):
            if self._slow_enough(rate):
                raise HarnessError(f"{target} carries only {rate:.3g} bit/s; nothing was fired")
        return {one.uid: rate for one, rate in zip(plan.targets, found, strict=True)}

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one link."""
        rate = self._rate(scene.world, target)
        words = (
            f"{target.link} of {target.node} sent {rate:.3g} bit/s of"
            f" {self.offered_bits_per_second:.3g} offered"
        )
        return Sighting.of(self.at_least_bits_per_second <= rate and self._slow_enough(rate), words)

    def _slow_enough(self, rate: float) -> bool:
        return self.at_most_bits_per_second is None or rate <= self.at_most_bits_per_second

    def _rate(self, world: World, target: Target) -> float:
        return bits_per_second(world.agent, target, offered=self.offered_bits_per_second)
