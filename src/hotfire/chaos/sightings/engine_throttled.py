"""An engine waits for CPU time that its quota does not give it."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import JsonValue

from hotfire.chaos.agent_answers import CpuState
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError

_LEAST_PERIODS: Final = 5


class EngineThrottled(EachTarget):
    """The kernel made it wait in most periods since the fault, by its counters."""

    word: Literal["engine-throttled"] = "engine-throttled"

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return each target's limit and counters before."""
        return noted_cpus(world, plan)

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is so of one target."""
        before, now = cpu_before(scene, target), cpu(scene.world, target)
        periods = now.periods - before.periods
        waited = now.throttled_periods - before.throttled_periods
        words = (
            f"kernel of {target.node}: limit {now.limit}, before {before.limit};"
            f" {target.name} waited in {waited} of {periods} periods"
        )
        most = periods >= _LEAST_PERIODS and 2 * waited > periods
        return Sighting.of(now.limit != before.limit and most, words)


def noted_cpus(world: World, plan: Plan) -> dict[str, JsonValue]:
    """Return how each target stands with its CPU quota, for ``cpu_before``."""
    return {"cpus": {one.uid: cpu(world, one).model_dump() for one in plan.targets}}


def cpu_before(scene: Scene, target: Target) -> CpuState:
    """Return how a target stood with its quota before the fault.

    Raises:
        HarnessError: nobody noted it.
    """
    noted = scene.before.noted.get("cpus")
    if not isinstance(noted, dict) or target.uid not in noted:
        raise HarnessError(f"nobody noted the CPU quota of {target} before the fault")
    return CpuState.model_validate(noted[target.uid])


def cpu(world: World, target: Target) -> CpuState:
    """Return how a target stands with its CPU quota now."""
    return world.agent.cpu_state(target.node, pod_uid=target.uid, container_id=target.container_id)
