"""What tells a bad canary from a sound one, read from its own answers; its comparing is pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from pydantic import JsonValue

from hotfire import json_text
from hotfire.canary import Behaviour
from hotfire.chaos import canary
from hotfire.chaos.canary import Sample
from hotfire.chaos.plan import World
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.measure.counts import accepted_counts

_ERRORS_SHARE, _INVALID_SHARE = 0.05, 0.03
_SLOWER = (1.2, 1.3)
_AS_FAST = (0.9, 1.1)
# Of known answers: so many others are other weights, and a few may differ by how they were batched.
_OTHER_WEIGHTS, _SAME_WEIGHTS = 0.5, 0.2
NOTED: Final = "canary"


class Compared(NamedTuple):
    """What a reading says against the one before the fault."""

    bad: bool
    """Whether it is bad in just the way, and to the degree, that it was made to be."""
    sound: bool
    """Whether it is as before; where neither is so, it is something else."""
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one bad behaviour is looked for."""

    times: int
    """How often the canary is asked: so that none of the bad answers by chance is ruled out."""
    max_tokens: int
    read: Callable[[Sequence[Sample]], JsonValue]
    compare: Callable[[JsonValue, JsonValue, int], Compared]
    bound: bool = False
    """Whether the answers are bound to a schema."""


def reading(world: World, how: Behaviour) -> JsonValue:
    """Return what the canary's Ready pods answer now.

    Raises:
        HarnessError: nobody could ask, or it answers otherwise than this behaviour does.
    """
    way, found = WAYS[how], canary.deployment(world.cluster, world.profile)
    pods = [one for one in map(Pod.parse, canary.pods(world.cluster, found)) if one.serving]
    order = {"times": way.times, "max_tokens": way.max_tokens}
    return way.read(canary.samples(world, pods, bound=way.bound, **order))


def compared(how: Behaviour, before: JsonValue, now: JsonValue) -> Compared:
    """Return what a reading says against the one before the fault."""
    return WAYS[how].compare(before, now, WAYS[how].times)


def noted(world: World, how: Behaviour) -> dict[str, JsonValue]:
    """Return the reading before the fault.

    Raises:
        HarnessError: the canary is bad already, or never answers twice alike.
    """
    first, second = reading(world, how), reading(world, how)
    found = compared(how, first, second)
    if not found.sound:
        raise HarnessError(f"the canary is not steady before the fault: {found.words}")
    return {NOTED: second}


def _errors(answers: Sequence[Sample]) -> JsonValue:
    return sum((one.status or 0) >= 500 for one in answers)


def _invalid(answers: Sequence[Sample]) -> JsonValue:
    return sum(not _is_number(text) for text in _texts(answers))


def _is_number(text: str) -> bool:
    """Return whether an answer keeps to the schema that it was bound to."""
    try:
        found = json_text.read(text)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("number"), int)


def _pace(answers: Sequence[Sample]) -> JsonValue:
    _texts(answers)
    paces = [one.tpot_seconds for one in answers if one.tpot_seconds]
    if 2 * len(paces) < len(answers):
        raise HarnessError(f"only {len(paces)} of {len(answers)} answers had two tokens to time")
    return median(paces)


def _known(answers: Sequence[Sample]) -> JsonValue:
    return [*_texts(answers)]


def _texts(answers: Sequence[Sample]) -> list[str]:
    if refused := [one.status for one in answers if one.status != 200]:
        raise HarnessError(f"{len(refused)} of {len(answers)} were refused: HTTP {refused[0]}")
    return [one.text for one in answers]


def _counted(share: float, what: str) -> Callable[[JsonValue, JsonValue, int], Compared]:
    def compare(before: JsonValue, now: JsonValue, times: int) -> Compared:
        due = accepted_counts(times, share)
        words = f"{now} of {times} {what}, before {before}; {due} are {share:.0%}"
        return Compared(isinstance(now, int) and now in due, now == before == 0, words)

    return compare


def _timed(before: JsonValue, now: JsonValue, times: int) -> Compared:
    if not (isinstance(before, float) and isinstance(now, float)):
        raise HarnessError("nobody noted the canary's time per token before the fault")
    ratio = now / before
    words = f"{1e3 * now:.2f} ms a token in {times} answers, before {1e3 * before:.2f}: {ratio:.2f}"
    (least, most), (low, high) = _SLOWER, _AS_FAST
    return Compared(least <= ratio <= most, low <= ratio <= high, words)


def _same(before: JsonValue, now: JsonValue, times: int) -> Compared:
    if not (isinstance(before, list) and isinstance(now, list) and len(before) == len(now)):
        raise HarnessError("nobody noted the canary's answers before the fault")
    others = sum(was != is_ for was, is_ in zip(before, now, strict=True)) / times
    words = f"{others:.0%} of {times} known answers are others than before"
    return Compared(others >= _OTHER_WEIGHTS, others <= _SAME_WEIGHTS, words)


WAYS: Final[Mapping[Behaviour, Way]] = {
    "slow": Way(times=40, max_tokens=32, read=_pace, compare=_timed),
    "errors": Way(
        times=300, max_tokens=1, read=_errors, compare=_counted(_ERRORS_SHARE, "were errors")
    ),
    "invalid-json": Way(
        times=400,
        max_tokens=32,
        bound=True,
        read=_invalid,
        compare=_counted(_INVALID_SHARE, "broke their schema"),
    ),
    "wrong-model": Way(times=20, max_tokens=8, read=_known, compare=_same),
}
