"""The engine whose device was tainted is gone, and the one in its place has another device."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.claimed import Device, device_of_pod
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.cache_refilled import newcomers
from hotfire.chaos.sightings.pod_replaced import PodReplaced
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile


class DeviceGivenUp(SightingWord):
    """Old uids gone, new uids seen, and none of them holds a device of those."""

    word: Literal["device-given-up"] = "device-given-up"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return which device each target holds."""
        held = [device_of_pod(world, one.namespace, one.name) for one in plan.targets]
        return {"claimed": [list(one) for one in held]}

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        replaced = PodReplaced().look(scene)
        if replaced.seen != "yes":
            return replaced
        tainted = _noted(scene)
        new = [pod for pod in newcomers(scene) if not pod.over]
        return all_of([replaced, *(_elsewhere(scene.world, pod, tainted) for pod in new)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to end, if that is longer."""
        return max(profile.waits.pod_gone_seconds, super().within_seconds(profile, over=over))


def _elsewhere(world: World, pod: Pod, tainted: list[Device]) -> Sighting:
    if not pod.node:
        return Sighting("yes", f"scheduler: {pod.name} waits for a device")
    held = device_of_pod(world, pod.namespace, pod.name)
    return Sighting.of(held not in tainted, f"API server: {pod.name} holds {'/'.join(held)}")


def _noted(scene: Scene) -> list[Device]:
    match scene.before.noted.get("claimed"):
        case [*rows] if rows:
            return [Device(*map(str, row)) for row in rows if isinstance(row, list)]
    raise HarnessError("nobody noted which device the engine held before the fault")
