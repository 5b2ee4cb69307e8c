"""Every node offers as many accelerators as before."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.devices_withdrawn import devices, devices_before, noted_devices
from hotfire.chaos.written import Target


class DevicesOffered(EachTarget):
    """As many are allocatable on each target's node."""

    word: Literal["devices-offered"] = "devices-offered"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return how many each node offered before."""
        return noted_devices(world, plan)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        before, now = devices_before(scene, target.node), devices(scene.world, target.node)
        words = f"API server: {target.node} offers {now} accelerators, before {before}"
        return Sighting.of(now >= before, words)
