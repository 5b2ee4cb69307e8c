"""A Deployment has been rolled out: every pod is of the fault's template, or none of them is."""

from typing import Literal

from hotfire.agent.janitor import mark_of
from hotfire.chaos import canary
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.component import workload_of
from hotfire.chaos.template_step import complete
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected
from hotfire.profile import TargetProfile


class RolledOut(EachTarget):
    """As many Ready pods of the wanted template as replicas, and no pod of another one left."""

    word: Literal["rolled-out"] = "rolled-out"
    back: bool = False
    """Whether the former template is wanted, as for the end of a fault."""

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        found = workload_of(scene.world, target)
        if found is None:
            return Sighting("unknown", f"API server: there is no {target} any more")
        wanted = "" if self.back else scene.entry_of(target.uid).id
        if mark_of(found["spec"]["template"]) != wanted:
            if not self.back:
                raise FaultNotInjected(f"API server: the pod template of {target} is not changed")
            return Sighting("no", f"API server: the pod template of {target} is not put back")
        others = [one for one in canary.pods(scene.world.cluster, found) if mark_of(one) != wanted]
        left = ", ".join(one["metadata"]["name"] for one in others) or "none"
        status = found.get("status") or {}
        words = (
            f"API server: {status.get('updatedReplicas', 0)} pods of {target} are new,"
            f" {status.get('readyReplicas', 0)} Ready, of another template: {left}"
        )
        return Sighting.of(complete(found) and not others, words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time two pods may take to get Ready, one after the other."""
        del over
        return 2 * profile.waits.pod_ready_seconds
