"""The version under promotion, while few users are sent to it."""

from typing import Literal

from pydantic import Field

from hotfire.chaos import canary
from hotfire.chaos.aim import TargetWord, plan_beside_engines, spared_engines
from hotfire.chaos.plan import Plan, World, names
from hotfire.chaos.targets.component import workload_target
from hotfire.cluster import Document
from hotfire.errors import HarnessError


class Canary(TargetWord):
    """The Deployment that the target file names as the canary."""

    word: Literal["canary"] = "canary"
    most_share: float = Field(default=0.1, gt=0, le=1)
    """Share of the requests (0-1) that it may get for a fault to be fired at it."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that Deployment as the target, and every Ready engine as a bystander."""
        target = workload_target(canary.deployment(world.cluster, world.profile), "deployments")
        return plan_beside_engines(world, experiment, [target], all_survive=True)

    def spared(self, world: World, plan: Plan) -> str:
        """Return how few users are sent to it, and which engines serve the others."""
        got = canary.share(world.cluster, canary.deployment(world.cluster, world.profile))
        if not got:
            raise HarnessError("nobody is sent to the canary, so that it could harm nobody")
        if got > self.most_share:
            raise HarnessError(
                f"the canary gets {got:.0%} of the requests, at most {self.most_share:.0%} may be"
                " hit; is a promotion under way?"
            )
        if not plan.bystanders:
            raise HarnessError("no engine is Ready")
        engines = f"{spared_engines(world, plan)}: {names(plan.bystanders)}"
        return f"the canary gets {got:.0%} of the requests; every engine, {engines}"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that it is the same Deployment, with as few users."""
        require_same(plan, canary.deployment(world.cluster, world.profile))
        self.spared(world, plan)


def require_same(plan: Plan, found: Document) -> None:
    """Make sure that a plan's only target is still that very Deployment.

    Raises:
        HarnessError: it is another one under the same name.
    """
    if found["metadata"]["uid"] != plan.targets[0].uid:
        raise HarnessError(f"the plan's {plan.targets[0]} is another one now; nothing was fired")
