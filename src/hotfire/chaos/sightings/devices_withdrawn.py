"""A node offers fewer accelerators than before."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.cluster import Node, quantity
from hotfire.errors import HarnessError


class DevicesWithdrawn(EachTarget):
    """Fewer are allocatable on each target's node."""

    word: Literal["devices-withdrawn"] = "devices-withdrawn"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return how many each node offered before."""
        return noted_devices(world, plan)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        before, now = devices_before(scene, target.node), devices(scene.world, target.node)
        words = f"API server: {target.node} offers {now} accelerators, before {before}"
        return Sighting.of(now < before, words)


def noted_devices(world: World, plan: Plan) -> dict[str, JsonValue]:
    """Return how many accelerators each target's node offers, for ``devices_before``."""
    return {"devices": {one.node: devices(world, one.node) for one in plan.targets}}


def devices_before(scene: Scene, node: str) -> int:
    """Return how many accelerators a node offered before the fault.

    Raises:
        HarnessError: nobody noted it.
    """
    noted = scene.before.noted.get("devices")
    if not isinstance(noted, dict) or not isinstance(count := noted.get(node), int):
        raise HarnessError(f"nobody noted how many accelerators {node} offered before the fault")
    return count


def devices(world: World, name: str) -> int:
    """Return how many accelerators of the declared resource a node offers now."""
    document = world.cluster.get("Node", None, name)
    if document is None:
        raise HarnessError(f"there is no node {name} any more")
    return int(
        quantity(Node.parse(document).allocatable.get(world.profile.accelerator.resource, "0"))
    )
