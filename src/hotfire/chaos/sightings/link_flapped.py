"""The carrier of a link came and went as often as it should, counted by the kernel."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class LinkFlapped(EachTarget):
    """Changes of a carrier since the fault was fired."""

    word: Literal["link-flapped"] = "link-flapped"
    times: int = Field(gt=0)
    """How often it went; it came back as often."""
    last_seconds: float = Field(gt=0)
    """How long that takes."""

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return what the kernel has counted so far."""
        return {one.uid: _changes(world, one) for one in plan.targets}

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time that all changes take, and the usual one to see the last of them."""
        return self.last_seconds + super().within_seconds(profile, over=over)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one link."""
        before = scene.before.noted.get(target.uid)
        if not isinstance(before, int):
            raise HarnessError(f"nobody noted the carrier changes of {target} before")
        changed = _changes(scene.world, target) - before
        words = f"carrier of {target.link} on {target.node} changed {changed} times"
        return Sighting.of(changed >= 2 * self.times, words)


def _changes(world: World, target: Target) -> int:
    return world.agent.link_state(target.node, target.link).carrier_changes
