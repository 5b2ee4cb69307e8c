"""More than half of the engine pods at once."""

from typing import Literal

from hotfire.chaos.aim import EngineTargetWord, plan_engines
from hotfire.chaos.plan import Plan, World, ready_engines
from hotfire.errors import HarnessError


class EngineMajority(EngineTargetWord):
    """The smallest majority of the Ready engine pods, whatever their number."""

    word: Literal["engine-majority"] = "engine-majority"
    count: Literal[0] = 0
    """Not said beforehand: it follows from how many there are."""

    @property
    def engines_needed(self) -> int:
        """So many that those left are fewer than half, and enough."""
        return 2 * self.survivors + 1

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the first of them as targets, the others as bystanders."""
        ready = ready_engines(world)
        count = ready // 2 + 1
        if ready < self.engines_needed:
            raise HarnessError(
                f"{experiment} needs {self.engines_needed} Ready engine pods, there are {ready}:"
                f" more than half are {count}, and {self.survivors} must be left; run it with"
                f" {self.engines_needed} replicas"
            )
        return plan_engines(world, experiment, count=count, survivors=self.survivors)
