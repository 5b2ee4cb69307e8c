"""No answer of the load beside looks whole and is not, and as many engines are Ready as before."""

from collections.abc import Iterator, Sequence
from typing import Literal

from hotfire.chaos.plan import World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.sightings.engines_ready import EnginesReady
from hotfire.chaos.step import step_of
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.undo import UndoEntry
from hotfire.errors import HarnessError
from hotfire.measure import history
from hotfire.measure.history import Request
from hotfire.profile import TargetProfile

_READY = EnginesReady()


class CutsTold(SightingWord):
    """Every stream that ended well has the tokens that were asked for, none lost and none twice."""

    word: Literal["cuts-told"] = "cuts-told"

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so."""
        found = [_seen(rows, asked) for rows, asked in recorded_beside(scene)]
        return all_of([*found, _READY.look(scene)])

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time a pod may take to get Ready."""
        return _READY.within_seconds(profile, over=over)


def recorded_beside(scene: Scene) -> Iterator[tuple[Sequence[Request], int]]:
    """Yield what each load beside has recorded, with how many tokens its answers are to have.

    Raises:
        HarnessError: nobody recorded it.
    """
    for entry in scene.entries:
        step = step_of(entry)
        if isinstance(step, MoreLoad):
            asked = step.max_tokens or scene.world.profile.load.max_tokens
            yield _recorded(scene.world, entry), asked


def differs(row: Request, asked: int) -> bool:
    """Return whether an answer has told another number of tokens than were asked for."""
    told = row.n_out is not None
    return told and (row.n_out != asked or not row.usage_believed)


def _recorded(world: World, entry: UndoEntry) -> Sequence[Request]:
    if world.run is None:
        raise HarnessError("the load beside is recorded in a run, and there is none")
    # Its end has killed the process: what it wrote is all there is.
    return history.load(world.run.history_path(MoreLoad.name_of(entry)))


def _seen(rows: Sequence[Request], asked: int) -> Sighting:
    whole = [row for row in rows if row.complete]
    if not any(row.n_out is not None for row in whole):
        return Sighting("unknown", f"none of {len(whole)} answers told how many tokens it has")
    short = [row for row in whole if differs(row, asked)]
    words = f"the load beside: {len(short)} of {len(whole)} answers that ended well have not the"
    return Sighting.of(not short, f"{words} {asked} tokens that were asked for")
