"""What every word for looking can do: remember what was, and tell what is, of three values."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import JsonValue

from hotfire.chaos.before import Before
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.together import side_by_side
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.words import Word
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class Sighting(NamedTuple):
    """What was seen; whoever could not look says unknown, which is never no."""

    seen: Literal["yes", "no", "unknown"]
    words: str
    """What was looked at, and what it said."""

    @classmethod
    def of(cls, seen: bool, words: str) -> Self:
        """Return yes or no."""
        return cls("yes" if seen else "no", words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A fault as somebody looks at it."""

    world: World
    plan: Plan
    entries: tuple[UndoEntry, ...]
    before: Before

    def entry_of(self, uid: str) -> UndoEntry:
        """Return the entry of the first step on a target."""
        return next(one for one in self.entries if one.target.uid == uid)


class SightingWord(Word):
    """Something to look for."""

    reads_log: ClassVar[bool] = False
    """Whether it looks for new lines in the engines' logs."""

    def logged(self, plan: Plan) -> tuple[Target, ...]:
        """Return the targets whose engines' logs it compares with what they said before."""
        return plan.targets if self.reads_log else ()

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return what has to be remembered from before the fault."""
        del world, plan
        return {}

    @abstractmethod
    def look(self, scene: Scene) -> Sighting:
        """Return what is seen now.

        Raises:
            HarnessError: nobody could look: the same as unknown.
        """

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return how long it may take to be seen: the fault, or (``over``) its end."""
        waits = profile.waits
        return waits.healing_seconds if over else waits.injection_seconds


class EachTarget(SightingWord):
    """Something to look for at every target, side by side."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether it is seen at all of them."""
        return all_of(side_by_side(partial(self.look_at, scene), scene.plan.targets))

    @abstractmethod
    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return what is seen of one target now.

        Raises:
            HarnessError: nobody could look: the same as unknown.
        """


def all_of(sightings: Iterable[Sighting]) -> Sighting:
    """Return whether everything was seen: no where one was not, unknown where one is."""
    found = list(sightings)
    answers: tuple[Literal["no", "unknown"], ...] = ("no", "unknown")
    for answer in answers:
        if some := [one.words for one in found if one.seen == answer]:
            return Sighting(answer, "; ".join(some))
    return Sighting("yes", "; ".join(one.words for one in found))
