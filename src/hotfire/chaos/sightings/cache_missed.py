"""The application's response cache has no answers, and the engines read what it saved them."""

import time
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from pydantic import Field, JsonValue

from hotfire.chaos import engine_counts
from hotfire.chaos.application import cache_counts
from hotfire.chaos.plan import Plan, World
from hotfire.chaos.sighting import Scene, Sighting, SightingWord
from hotfire.errors import HarnessError
from hotfire.waiting import pause

_RATE: Final = "tokens_per_second"
_WINDOW_SECONDS: Final = 3.0


class Counts(NamedTuple):
    """What was counted by a moment."""

    at: float
    """In epoch seconds."""
    hits: float
    misses: float
    tokens: float
    """Of prompts, read by all engines."""


class CacheMissed(SightingWord):
    """Hits and misses of the application, and the engines' own counter of prompt tokens."""

    word: Literal["cache-missed"] = "cache-missed"
    hit_ratio_below: float = Field(gt=0, le=1)
    """Which part of the requests the cache may still answer, 0-1."""
    requests: int = Field(gt=0)
    """How many it must have been asked for."""
    tokens_rise: float = Field(gt=1)
    """How many times as many tokens as before the engines read in a second."""

    def note(self, world: World, plan: Plan) -> Mapping[str, JsonValue]:
        """Return what is counted by now, and how fast the engines read."""
        del plan
        first = _counts(world)
        pause(_WINDOW_SECONDS, why="how much the engines read before, in so long a time")
        last = _counts(world)
        return {**last._asdict(), _RATE: _per_second(first, last)}

    def look(self, scene: Scene) -> Sighting:
        """Return whether both are so since the fault was fired."""
        noted, now = scene.before.noted, _counts(scene.world)
        before = Counts(*(_number(noted.get(name)) for name in Counts._fields))
        hits, misses = now.hits - before.hits, now.misses - before.misses
        asked, usual, rate = hits + misses, _number(noted.get(_RATE)), _per_second(before, now)
        words = (
            f"{hits:g} hits among {asked:g} requests; engines read {rate:.0f} tokens a second,"
            f" {usual:.0f} before"
        )
        missed = asked >= self.requests and hits < self.hit_ratio_below * asked
        return Sighting.of(missed and rate >= self.tokens_rise * usual, words)


def _counts(world: World) -> Counts:
    hits, misses = cache_counts(world)
    tokens = engine_counts.total(world, "prompt_tokens")
    return Counts(at=time.time(), hits=hits, misses=misses, tokens=tokens)


def _per_second(first: Counts, last: Counts) -> float:
    return (last.tokens - first.tokens) / (last.at - first.at)


def _number(noted: JsonValue) -> float:
    if not isinstance(noted, int | float):
        raise HarnessError("nobody noted what the cache and the engines counted before")
    return float(noted)
