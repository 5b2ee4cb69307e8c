"""An engine's CPU limit is what it was before."""

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.sightings.engine_restarted import restarts_since
from hotfire.chaos.sightings.engine_throttled import cpu, cpu_before, noted_cpus
from hotfire.chaos.written import Target


class CpuUnbound(EachTarget):
    """The kernel's own word for the limit is the former one."""

    word: Literal["cpu-unbound"] = "cpu-unbound"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return each target's limit before."""
        return noted_cpus(world, plan)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        if restarts_since(scene, target) != 0:
            return Sighting("yes", f"{target} has another container, which nobody bound")
        before, now = cpu_before(scene, target), cpu(scene.world, target)
        words = f"kernel of {target.node}: limit {now.limit}, before {before.limit}"
        return Sighting.of(now.limit == before.limit, words)
