"""Does nothing and says that it did: the sham, by which every fault's proof is proven."""

import time
from typing import ClassVar, Literal

from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target


class Nothing(Step):
    """A step without effect; an experiment with it must come out inconclusive."""

    word: Literal["nothing"] = "nothing"
    lives_on: ClassVar[Life] = "nowhere"

    def rehearse(self, world: World, target: Target) -> str:
        """Return that nobody has to accept it."""
        del world, target
        return "nobody: a sham changes nothing"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Say that it is done."""
        del world, entry
        return Fired("a sham, which did nothing", time.time_ns())

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Return that there is nothing to undo."""
        del world, entry, within_seconds
        return "a sham left nothing behind"
