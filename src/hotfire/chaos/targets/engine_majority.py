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

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the first of them as targets, the others as bystanders."""
        ready = ready_engines(world)
        count = ready // 2 + 1
        if ready < count + self.survivors:
            least = 2 * self.survivors + 1
            raise HarnessError(
                f"{experiment} needs {least} Ready engine pods, there are {ready}: more than half"
                f" are {count}, and {self.survivors} must be left; run it with {least} replicas"
            )
        return plan_engines(world, experiment, count=count, survivors=self.survivors)
