"""The model that users ask for, as a whole: what a load is aimed at."""

from typing import Literal

from hotfire.chaos.aim import TargetWord
from hotfire.chaos.plan import Plan, World, engines, names, pod_target
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class RatedModel(TargetWord):
    """The served model, behind the gateway; no object is touched."""

    word: Literal["rated-model"] = "rated-model"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the model as the target, and every Ready engine as a bystander."""
        profile = world.profile
        pods = engines(world.cluster, profile)
        ready = [pod for pod in pods if pod.serving]
        return Plan(
            experiment=experiment,
            survivors=len(ready),
            targets=(Target(kind="load", name=profile.engine.model),),
            bystanders=tuple(pod_target(pod, profile) for pod in ready),
            before=tuple(pod.uid for pod in pods),
            ready=len(ready),
        )

    def spared(self, world: World, plan: Plan) -> str:
        """Return the engines: nothing is taken away from them."""
        del world
        if not plan.bystanders:
            raise HarnessError("no engine is Ready")
        return f"all engines: {names(plan.bystanders)}"
