"""The workload that owns the engines: every engine, but never all of them at once."""

import math
from typing import Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines
from hotfire.chaos.plan import Plan, World, ready_engines
from hotfire.chaos.targets.canary import require_same
from hotfire.chaos.targets.component import workload_target
from hotfire.cluster import Document, selects
from hotfire.errors import HarnessError


class EngineWorkload(TargetWord):
    """The Deployment whose pods are the engines."""

    word: Literal["engine-workload"] = "engine-workload"
    survivors: int = 1
    """How many engines its strategy must leave Ready at any time."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return that Deployment as the target; each engine is replaced, so that none is spared."""
        target = workload_target(_deployment(world), "deployments")
        plan = plan_beside_engines(world, experiment, [target])
        return plan.model_copy(update={"bystanders": (), "ready": len(plan.bystanders)})

    def spared(self, world: World, plan: Plan) -> str:
        """Return how many engines its strategy keeps."""
        del plan
        ready, away = ready_engines(world), most_unavailable(_deployment(world))
        if ready - away < self.survivors:
            raise HarnessError(
                f"its strategy lets {away} of {ready} Ready engines go at once, {self.survivors}"
                " must be left"
            )
        return f"its strategy keeps {ready - away} of {ready} Ready engines at any time"

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that it is the same Deployment, and all its engines Ready."""
        require_same(plan, _deployment(world))
        if (ready := ready_engines(world)) < plan.ready:
            raise HarnessError(f"{ready} of {plan.ready} engines are Ready; nothing was fired")


def most_unavailable(found: Document) -> int:
    """Return how many pods a Deployment's strategy lets go at once; all of them for Recreate.

    A share is rounded down, as Kubernetes does; where nothing is said it is a quarter.
    """
    replicas, strategy = int(found["spec"].get("replicas", 1)), found["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return replicas
    told = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    if isinstance(told, str) and told.endswith("%"):
        return math.floor(replicas * int(told.removesuffix("%")) / 100)
    return int(told)


def _deployment(world: World) -> Document:
    profile = world.profile
    chosen = {"matchLabels": profile.engine.selector}
    for one in world.cluster.list("Deployment", profile.namespace, api_version="apps/v1"):
        if selects(chosen, one["spec"]["template"]["metadata"].get("labels") or {}):
            return one
    raise HarnessError(
        f"no Deployment in {profile.namespace} makes pods like the engine's; what else rolls out"
        " engines is not looked at"
    )
