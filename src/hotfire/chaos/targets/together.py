"""The targets of several faults that overlap, within the radius that each of them may have."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, SerializeAsAny

from hotfire.chaos.aim import TargetWord
from hotfire.chaos.overlap import conflict, together
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.words import reader
from hotfire.errors import HarnessError


class Together(TargetWord):
    """Each part's own targets; a step says by its ``part`` whose it is done to."""

    alone: ClassVar[bool] = True
    word: Literal["together"] = "together"
    parts: tuple[Annotated[SerializeAsAny[TargetWord], reader("targets")], ...] = Field(
        min_length=2
    )
    """Of each fault, in the order in which they begin."""

    def resolve(self, world: World, experiment: str) -> Plan:
        """Return all targets, and as bystanders the engines that none of them hits."""
        if wide := [one.word for one in self.parts if one.alone]:
            raise HarnessError(f"{experiment}: no other fault may be there beside {wide[0]}")
        plans = [
            one.resolve(world, f"{experiment}, part {number}")
            for number, one in enumerate(self.parts)
        ]
        if why := conflict(plans):
            raise HarnessError(why)
        return together(experiment, plans)

    def spared(self, world: World, plan: Plan) -> str:
        """Return what each part leaves to serve users; that they do so together was shown."""
        told = [one.spared(world, part) for one, part in zip(self.parts, plan.parts, strict=True)]
        return "; ".join(told)

    def look_again(self, world: World, plan: Plan) -> None:
        """Make sure that every part's targets and survivors are as planned."""
        for one, part in zip(self.parts, plan.parts, strict=True):
            one.look_again(world, part)
