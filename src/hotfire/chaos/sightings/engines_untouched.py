"""The engines that a fault must not disturb are the very ones of before, and Ready."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engine_restarted import restarts_since
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.written import Target


class EnginesUntouched(SightingWord):
    """Same pods, no restart since, as many Ready as before."""

    word: Literal["engines-untouched"] = "engines-untouched"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        pods = [_seen(scene, target) for target in scene.plan.targets]
        return all_of([*pods, EnginesReady().look(scene)])


def _seen(scene: Scene, target: Target) -> Sighting:
    count = restarts_since(scene, target)
    words = "was evicted or replaced" if count is None else f"was restarted {count} times since"
    return Sighting.of(count == 0, f"API server: {target} {words}")
