"""The load beside the rated one is over."""

from typing import Literal

from hotfire.chaos import beside
from hotfire.chaos.sighting import Scene, Sighting, SightingWord


class LoadEnded(SightingWord):
    """No load of this fault runs any more."""

    word: Literal["load-ended"] = "load-ended"

    def look(self, scene: Scene) -> Sighting:
        """Return whether that is so."""
        left = [one.id for one in scene.entries if beside.running(one.id) is not None]
        return Sighting.of(not left, f"loads beside the rated one: {', '.join(left) or 'none'}")
