"""One pod of those that play a role, such as the decode pods."""

from typing import Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines
from hotfire.chaos.plan import Plan, World, pod_target, ready_engines, resolve_again
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.pod_roles import PodRole


class RolePods(TargetWord):
    """The Ready one that was restarted least often; the others of its role survive."""

    word: Literal["role-pods"] = "role-pods"
    role: PodRole
    survivors: int = 1
    """How many of that role must be left and Ready."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that pod as the target; every engine that is another one is a bystander."""
        ready = sorted(self._ready(world), key=lambda pod: (pod.restarts, pod.name))
        if len(ready) <= self.survivors:
            raise HarnessError(
                f"{experiment} needs {self.survivors + 1} Ready pods of role {self.role} in"
                f" {world.profile.namespace}, there are {len(ready)}"
            )
        target = pod_target(ready[0], world.profile)
        plan = plan_beside_engines(world, experiment, [target])
        # Engines that do both halves of the work may have the role's labels, too.
        others = tuple(one for one in plan.bystanders if one.uid != target.uid)
        return plan.model_copy(update={"bystanders": others, "ready": ready_engines(world)})

    def spared(self, world: World, plan: Plan) -> str:
        """Return which pods of the role are left."""
        hit = {target.uid for target in plan.targets}
        left = [pod for pod in self._ready(world) if pod.uid not in hit]
        if len(left) < self.survivors:
            raise HarnessError(f"{len(left)} Ready pods of role {self.role} would be left")
        return f"survivors of role {self.role}: {', '.join(pod.name for pod in left)}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that target and survivors are there and Ready."""
        for target in plan.targets:
            resolve_again(world.cluster, target)
        self.spared(world, plan)

    def _ready(self, world: World) -> list[Pod]:
        profile = world.profile
        selector = profile.stack.roles.get(self.role)
        if selector is None:
            raise HarnessError(f"set stack.roles.{self.role} to the labels of its pods")
        return [pod for pod in world.cluster.pods(profile.namespace, selector) if pod.serving]
