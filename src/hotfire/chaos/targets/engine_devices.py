"""The accelerators of engine pods, which nobody else may be using."""

from typing import Literal

from hotfire.chaos.aim import EngineTargetWord, plan_engines
from hotfire.chaos.plan import Plan, World
from hotfire.errors import HarnessError


class EngineDevices(EngineTargetWord):
    """The accelerators of some engine pods."""

    word: Literal["engine-devices"] = "engine-devices"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return those of the first engines as targets, the other engines as bystanders."""
        return plan_engines(
            world, experiment, count=self.count, survivors=self.survivors, kind="device"
        )

    def spared(self, world: World, plan: Plan) -> str:
        """Return which engines are left; no other pod may share a target's device."""
        spared = super().spared(world, plan)
        _require_exclusive(world, plan)
        return spared


def _require_exclusive(world: World, plan: Plan) -> None:
    for target in plan.targets:
        grants = world.agent.device_grants(target.node)
        own = (target.namespace, target.name)
        held = {i for one in grants if (one.namespace, one.pod) == own for i in one.device_ids}
        for other in grants:
            if (other.namespace, other.pod) != own and held & set(other.device_ids):
                raise HarnessError(f"{other.namespace}/{other.pod} shares {target}'s device")
