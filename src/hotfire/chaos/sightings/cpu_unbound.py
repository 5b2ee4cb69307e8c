"""An engine's CPU limit is what it was before."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engine_restarted import restarts_since
from hotfire.chaos.sightings.engine_throttled import cpu, cpu_before, noted_cpus
from hotfire.chaos.written import Target


class CpuUnbound(SightingWord):
    """The kernel's own word for the limit is the former one."""

    word: Literal["cpu-unbound"] = "cpu-unbound"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return each target's limit before."""
        return noted_cpus(world, plan)

    def look(self, scene: Scene) -> Sighting:
        """Return whether every target's is."""
        return all_of(_seen(scene, target) for target in scene.plan.targets)


def _seen(scene: Scene, target: Target) -> Sighting:
    if restarts_since(scene, target) != 0:
        return Sighting("yes", f"{target} has another container, which nobody bound")
    before, now = cpu_before(scene, target), cpu(scene.world, target)
    words = f"kernel of {target.node}: limit {now.limit}, before {before.limit}"
    return Sighting.of(now.limit == before.limit, words)
