"""All uplinks of the nodes that were hit carry traffic, and BFD is up on them where it runs."""

from functools import partial
from typing import Literal

from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.link_whole import seen_whole
from hotfire.chaos.together import side_by_side


class UplinksWhole(SightingWord):
    """Nodes that are fully connected."""

    word: Literal["uplinks-whole"] = "uplinks-whole"

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's node is so."""
        uplinks = scene.world.profile.fabric.uplinks
        ends = [
            target.model_copy(update={"link": link})
            for target in scene.plan.targets
            for link in uplinks
        ]
        return all_of(side_by_side(partial(seen_whole, scene), ends))
