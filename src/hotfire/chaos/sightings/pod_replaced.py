"""The killed pods left the API and every Service, and as many came that were not there before."""

from typing import Literal

from hotfire.chaos.plan import engines
from hotfire.chaos.sighting import Scene, Sighting, SightingWord


class PodReplaced(SightingWord):
    """Old uids gone, new uids seen."""

    word: Literal["pod-replaced"] = "pod-replaced"

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        cluster, profile = scene.world.cluster, scene.world.profile
        pods = engines(cluster, profile)
        served = {one.pod_uid for one in cluster.endpoints(profile.namespace)}
        hit = {one.uid for one in scene.plan.targets if one.kind == "pod"}
        if left := hit & served.union(pod.uid for pod in pods):
            return Sighting("no", f"API server: still there: {', '.join(sorted(left))}")
        there = {pod.uid for pod in pods if not (pod.over or pod.deleting)}
        came = sorted(there - set(scene.before.engines))
        words = f"API server: old uids gone, {len(came)} of {len(hit)} new: {', '.join(came)}"
        return Sighting.of(len(came) >= len(hit), words)
