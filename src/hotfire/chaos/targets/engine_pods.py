"""Engine pods, the first Ready ones by name."""

from typing import Literal

from hotfire.chaos.aim import EngineTargetWord, plan_engines
from hotfire.chaos.plan import Plan, World


class EnginePods(EngineTargetWord):
    """Some engine pods of the target."""

    word: Literal["engine-pods"] = "engine-pods"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the first of them as targets, the others as bystanders."""
        return plan_engines(world, experiment, count=self.count, survivors=self.survivors)
