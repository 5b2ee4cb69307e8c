"""A node is short of nothing any more, and no engine had to go for it."""

from typing import Literal

from hotfire.chaos.plan import engines
from hotfire.chaos.sighting import EachTarget, Scene, Sighting, all_of
from hotfire.chaos.sightings.node_pressure import NodePressure
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile

_OVER = NodePressure(condition="MemoryPressure", present=False)


class PressureOver(EachTarget):
    """Neither condition nor taint, and the engines of before, none of them started anew."""

    word: Literal["pressure-over"] = "pressure-over"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether both are so."""
        return all_of([_stayed(scene), _OVER.look_at(scene, target)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the kubelet's own time, if that is longer."""
        return _OVER.within_seconds(profile, over=over)


def _stayed(scene: Scene) -> Sighting:
    profile, before = scene.world.profile, scene.before
    pods = engines(scene.world.cluster, profile)
    found = {pod.uid: pod.container(profile.engine.container) for pod in pods if not pod.over}
    left = [uid for uid in before.engines if uid not in found]
    anew = [
        uid
        for uid, one in found.items()
        if one is not None and one.restarts > before.restarts.get(uid, one.restarts)
    ]
    words = f"API server: {len(left)} engines had to go, {len(anew)} were restarted"
    return Sighting.of(not left and not anew, words)
