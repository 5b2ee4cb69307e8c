"""Every node reaches the model store, and as many engines are Ready as before."""

from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.sightings.store_away import noted_store, refusals
from hotfire.profile import TargetProfile

_READY = EnginesReady()


class StoreBack(SightingWord):
    """A store that gives again, and nobody who still waits for it."""

    word: Literal["store-back"] = "store-back"

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        found = refusals(scene.world, scene.plan.targets, *noted_store(scene))
        reached = [
            Sighting.of(not why, f"a connection from {node} to the store: {why or 'opened'}")
            for node, why in found.items()
        ]
        return all_of([*reached, _READY.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _READY.within_seconds(profile, over=over)
