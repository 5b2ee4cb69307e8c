"""Another device plugin is Ready, and its node offers as many accelerators as before."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.devices_offered import DevicesOffered
from hotfire.chaos.sightings.pod_remade import PodRemade
from hotfire.profile import TargetProfile

_POD = PodRemade(ready=True)


class DevicePluginBack(SightingWord):
    """Both: a count that never fell would say nothing of the plugin, nor a pod of its devices."""

    word: Literal["device-plugin-back"] = "device-plugin-back"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return owners and devices of before."""
        return {**_POD.note(world, plan), **DevicesOffered().note(world, plan)}

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        return all_of([_POD.look(scene), DevicesOffered().look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _POD.within_seconds(profile, over=over)
