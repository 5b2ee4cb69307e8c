"""The former canary is back, and its own answers are as before."""

from typing import Literal

from hotfire.canary import Behaviour
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.canary_misbehaves import answers_as
from hotfire.chaos.sightings.rolled_out import RolledOut
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class CanarySound(EachTarget):
    """No pod of the bad template is left, and those of the former one answer as they did."""

    word: Literal["canary-sound"] = "canary-sound"
    how: Behaviour
    """In which way it was bad; it is asked for that."""

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        return answers_as(scene, target, self.how, back=True)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time that a roll-out takes."""
        return RolledOut(back=True).within_seconds(profile, over=over)
