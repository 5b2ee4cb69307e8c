"""An engine's container was restarted again and again, and its kubelet backs off."""

from typing import Final, Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.engine_restarted import restarts_since
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile

_LEAST_RESTARTS: Final = 3
_BACK_OFF: Final = "CrashLoopBackOff"
# The kubelet restarts at once, after 10 s and after 20 s, each a little later on a busy node.
_SECONDS: Final = 90.0


class CrashLooping(EachTarget):
    """Three restarts, one of them since the fault, and the kubelet's own word for it.

    Restarts of before count as well: the kubelet backs off for the longer, so that three more might
    take many minutes.
    """

    word: Literal["crash-looping"] = "crash-looping"

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        count = restarts_since(scene, target)
        if count is None:
            return Sighting("no", f"{target} was replaced, so that it crashes no more")
        pod = scene.world.cluster.pod(target.namespace, target.name)
        container = pod.container(scene.world.profile.engine.container) if pod else None
        total, waits = (container.restarts, container.waiting_reason) if container else (0, "")
        words = f"kubelet: {total} restarts, {count} of them since, waiting: {waits or 'no'}"
        looping = total >= _LEAST_RESTARTS and count > 0 and waits == _BACK_OFF
        return Sighting.of(looping, words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time that three restarts take, if that is longer."""
        return max(_SECONDS, super().within_seconds(profile, over=over))
