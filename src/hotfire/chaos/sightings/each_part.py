"""What is to be seen of several faults that overlap: of each its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, JsonValue, SerializeAsAny

from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.words import reader
from hotfire.chaos.written import Target
from hotfire.profile import TargetProfile


class EachPart(SightingWord):
    """All of them are seen, each by the fault of its number."""

    word: Literal["each-part"] = "each-part"
    parts: tuple[Annotated[SerializeAsAny[SightingWord], reader("sightings")], ...] = Field(
        min_length=2
    )
    """Of each fault, in the order of ``targets``."""
    undone_by_us: tuple[int, ...] = ()
    """Numbers of the faults that hotfire undoes: where one of them lasts, that is not known to be
    the target's doing."""

    def logged(self, plan: Plan) -> tuple[Target, ...]:
        """Return the targets of those parts that read logs."""
        each = zip(self.parts, plan.parts, strict=True)
        return tuple(target for one, part in each for target in one.logged(part))

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return what each has to remember, by its number and name."""
        return {
            f"{number} {name}": value
            for number, one in enumerate(self.parts)
            for name, value in one.note(world, plan.parts[number]).items()
        }

    def look(self, scene: Scene) -> Sighting:
        """Return whether each is seen."""
        return all_of(self._of(number, scene) for number in range(len(self.parts)))

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time that the slowest of them may take."""
        return max(one.within_seconds(profile, over=over) for one in self.parts)

    def _of(self, number: int, scene: Scene) -> Sighting:
        found = self.parts[number].look(self._scene(number, scene))
        if found.seen == "no" and number in self.undone_by_us:
            return Sighting("unknown", found.words)
        return found

    def _scene(self, number: int, scene: Scene) -> Scene:
        """Return the scene as if this were the only fault."""
        own = f"{number} "
        noted = {
            name.removeprefix(own): value
            for name, value in scene.before.noted.items()
            if name.startswith(own)
        }
        return replace(
            scene,
            plan=scene.plan.parts[number],
            entries=tuple(one for one in scene.entries if one.target.part == number),
            before=scene.before.model_copy(update={"noted": noted}),
        )
