"""The killed pods are gone, and whoever owns them made as many that were not there before."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.cluster import Document, Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class PodRemade(SightingWord):
    """Old uids gone, new uids of the same owners seen; for pods that are no engines."""

    word: Literal["pod-remade"] = "pod-remade"
    ready: bool = False
    """Whether the new ones must be Ready, too, as for the end of a fault."""

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return the owners of the targets, and all pods that they have.

        Raises:
            HarnessError: a target has no owner, so that nobody would make it anew.
        """
        owners = {target.uid: "" for target in plan.targets}
        rows = list(_pods(world, plan))
        for row in rows:
            if row["metadata"]["uid"] in owners:
                owners[row["metadata"]["uid"]] = _owner(row)
        if ownerless := [uid for uid, owner in owners.items() if not owner]:
            raise HarnessError(f"nobody owns pod {', '.join(ownerless)}, so nobody replaces it")
        mine = [row["metadata"]["uid"] for row in rows if _owner(row) in owners.values()]
        return {"owners": sorted(set(owners.values())), "owned": mine}

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        hit = {target.uid for target in scene.plan.targets}
        rows = list(_pods(scene.world, scene.plan))
        if left := hit & {row["metadata"]["uid"] for row in rows}:
            return Sighting("no", f"API server: still there: {', '.join(sorted(left))}")
        owners, owned = _noted(scene, "owners"), _noted(scene, "owned")
        mine = [Pod.parse(row) for row in rows if _owner(row) in owners]
        came = [pod for pod in mine if pod.uid not in owned and (pod.serving or not self.ready)]
        told = ", ".join(pod.name for pod in came) or "nothing"
        what = "Ready and new" if self.ready else "new"
        words = f"API server: old uids gone, {len(came)} of {len(hit)} {what}: {told}"
        return Sighting.of(len(came) >= len(hit), words)

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready, where that is looked for."""
        if self.ready:
            return profile.waits.pod_ready_seconds
        return super().within_seconds(profile, over=over)


def _pods(world: World, plan: Plan) -> Iterator[Document]:
    for namespace in sorted({target.namespace for target in plan.targets}):
        yield from world.cluster.list("Pod", namespace)


def _owner(pod: Document) -> str:
    """Return the uid of the controller that made a pod; empty: nobody did."""
    references = pod["metadata"].get("ownerReferences") or ()
    return next((str(one["uid"]) for one in references if one.get("controller")), "")


def _noted(scene: Scene, name: str) -> list[JsonValue]:
    found = scene.before.noted.get(name)
    if not isinstance(found, list):
        raise HarnessError(f"nobody noted the {name} of the pods before the fault")
    return found
