"""The model that users ask for, as a whole: what a load is aimed at."""

from typing import Literal

from hotfire.chaos.aim import TargetWord, plan_beside_engines
from hotfire.chaos.plan import Plan, World, names
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError


class RatedModel(TargetWord):
    """The served model, behind the gateway; no object is touched."""

    word: Literal["rated-model"] = "rated-model"

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return the model as the target, and every Ready engine as a bystander."""
        model = Target(kind="load", name=world.profile.engine.model)
        found = plan_beside_engines(world, experiment, [model], all_survive=True)
        # A load may cost an engine after all.
        return found.model_copy(update={"ready": len(found.bystanders)})

    def spared(self, world: World, plan: Plan) -> str:
        """Return the engines: nothing is taken away from them."""
        del world
        if not plan.bystanders:
            raise HarnessError("no engine is Ready")
        return f"all engines: {names(plan.bystanders)}"
