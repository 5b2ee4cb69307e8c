"""The new canary serves badly, in just the way it was made to, by its own answers."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.canary import Behaviour
from hotfire.chaos import canary_readings
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.rolled_out import RolledOut
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class CanaryMisbehaves(EachTarget):
    """Every pod is new, and answers worse than the former ones by what was asked for."""

    word: Literal["canary-misbehaves"] = "canary-misbehaves"
    how: Behaviour

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return how the former canary answers."""
        del plan
        return canary_readings.noted(world, self.how)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        return answers_as(scene, target, self.how, back=False)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time that a roll-out takes."""
        return RolledOut().within_seconds(profile, over=over)


def answers_as(scene: Scene, target: Target, how: Behaviour, *, back: bool) -> Sighting:
    """Return whether the new canary answers badly, or (``back``) the former one as it did."""
    there = RolledOut(back=back).look_at(scene, target)
    if there.seen != "yes":
        return there
    before = scene.before.noted.get(canary_readings.NOTED)
    try:
        found = canary_readings.compared(how, before, canary_readings.reading(scene.world, how))
    except HarnessError as error:
        # It may be a pod that is on its way out: asked again until the deadline.
        return Sighting("unknown", str(error))
    words = f"the canary, asked past the gateway: {found.words}"
    return Sighting.of(found.sound if back else found.bad, words)
