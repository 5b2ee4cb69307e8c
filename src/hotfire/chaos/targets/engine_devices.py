"""The accelerators of engine pods, which nobody else may be using."""

from typing import Literal

from hotfire.chaos.aim import EngineTargetWord, plan_engines
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError


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


def device_of(world: World, target: Target) -> str:
    """Return the id of the first accelerator that the kubelet gave to a target's pod.

    Raises:
        FaultNotInjected: it gave none.
    """
    resource = world.profile.accelerator.resource
    for grant in world.agent.device_grants(target.node):
        mine = (grant.namespace, grant.pod) == (target.namespace, target.name)
        if mine and grant.resource == resource and grant.device_ids:
            return grant.device_ids[0]
    raise FaultNotInjected(f"the kubelet gave {target} no {resource}; set accelerator.resource")


def _require_exclusive(world: World, plan: Plan) -> None:
    for target in plan.targets:
        grants = world.agent.device_grants(target.node)
        own = (target.namespace, target.name)
        held = {i for one in grants if (one.namespace, one.pod) == own for i in one.device_ids}
        for other in grants:
            if (other.namespace, other.pod) != own and held & set(other.device_ids):
                raise HarnessError(f"{other.namespace}/{other.pod} shares {target}'s device")
