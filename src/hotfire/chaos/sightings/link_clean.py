"""A link carries as it should: nothing of ours on it, and echoes come back once and in order."""

from typing import Final, Literal

from hotfire.chaos.readings import echoes
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.link_whole import seen_whole
from hotfire.chaos.written import Target

_PERCENT: Final = 0.5
_SECONDS: Final = 0.02


class LinkClean(EachTarget):
    """A link as it was, measured between the node and its other end."""

    word: Literal["link-clean"] = "link-clean"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        whole = seen_whole(scene, target)
        found = echoes(scene.world.agent, target)
        late = found.round_trip_seconds
        words = (
            f"{whole.words}; of {found.sent} echoes {found.lost} lost, {found.doubled} doubled,"
            f" {found.overtaken} overtaken, round trips of {late} s"
        )
        shares = [found.percent(of) for of in ("lost", "doubled", "overtaken")]
        sound = max(shares) <= _PERCENT and late is not None and late <= _SECONDS
        return Sighting.of(whole.seen == "yes" and sound, words)
