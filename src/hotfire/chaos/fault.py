"""A fault as its experiment file says it, in words: who is hit, how, and by what it is known."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

from hotfire.chaos.aim import TargetWord
from hotfire.chaos.sighting import SightingWord
from hotfire.chaos.step import Step
from hotfire.chaos.words import reader
from hotfire.chaos.written import Target, Written
from hotfire.profile import Budgets
from hotfire.requirement import Level, Scope


class Fault(Written):
    """Our block of an experiment's ``extensions``; unknown keys and words are errors."""

    name: Literal["hotfire"]
    id: str
    level: Level
    source: str
    features: frozenset[str] = frozenset()
    cncf: str | None = None
    scope: Scope = Scope.FULL
    targets: Annotated[SerializeAsAny[TargetWord], reader("targets")]
    """Who is hit; a word of ``chaos/targets``."""
    steps: tuple[Annotated[SerializeAsAny[Step], reader("steps")], ...] = Field(min_length=1)
    """What is done to each target, in this order; words of ``chaos/steps``."""
    hold_seconds: float = Field(default=0.0, ge=0, le=600)
    """How long it lasts once it was seen."""
    seen: Annotated[SerializeAsAny[SightingWord], reader("sightings")]
    """By what it is known that the fault is there; a word of ``chaos/sightings``."""
    gone: Annotated[SerializeAsAny[SightingWord], reader("sightings")]
    """By what it is known that it is over."""
    repaired_by: Literal["hotfire", "target"]
    """Who puts right what was broken; only a target that must and does not has failed."""
    budgets: Budgets
    """Defaults; a profile's ``fault_budgets`` replace single ones."""

    def shots(self, targets: Iterable[Target]) -> list[tuple[Step, Target]]:
        """Return each step with each target that it is done to, in the order of firing."""
        hit = tuple(targets)
        return [(step, one) for step in self.steps for one in hit if step.hits(one)]

    @property
    def needs_janitor(self) -> bool:
        """Whether the undo of a step lives in the cluster, where the janitor does it."""
        return any(step.lives_on == "cluster" for step in self.steps)
