"""Sends more requests than were promised to be carried, beside the rated ones."""

import secrets
import time
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from hotfire.chaos import beside
from hotfire.chaos.application import declared, for_its_clients
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError

_SEEDS: Final = 1 << 31


class MoreLoad(Step):
    """An open load of its own; its users are recorded apart from those whose service is judged."""

    word: Literal["more-load"] = "more-load"
    lives_on: ClassVar[Life] = "nowhere"
    of: Literal["model", "rag"] = "model"
    """Whom it asks: the model, or the retrieval-augmented application in front of it."""
    times: float = Field(default=2.0, gt=0, le=20)
    """Its rate, as a multiple of the rated one, which goes on beside it."""
    prompt_words: int | None = Field(default=None, gt=0)
    """Length of its prompts; default: the rated length."""
    max_tokens: int | None = Field(default=None, gt=0)
    """Length of its answers; default: the rated length."""
    leave_seconds: float | None = Field(default=None, gt=0)
    """When each of its clients closes the connection, whatever has come by then; default: as late
    as the rated ones."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return who is asked: nobody has to accept a request before it is sent."""
        del target
        return f"the gateway {self.asked(world).profile.gateway.url}, which may refuse"

    def asked(self, world: World) -> World:
        """Return the world as its clients see it."""
        if self.of == "model":
            return world
        profile = world.profile
        return replace(world, profile=for_its_clients(profile, declared(profile)))

    def changes(self, world: World) -> dict[str, Any]:
        """Return what differs from the rated plan."""
        changes: dict[str, Any] = {
            "rate_per_second": self.times * world.profile.load.rate_per_second,
            # Not the rated load's arrivals and prompts again, nor any that a cache may have kept.
            "seed": 1 if self.of == "model" else secrets.randbelow(_SEEDS),
        }
        own = {
            "prompt_words": self.prompt_words,
            "max_tokens": self.max_tokens,
            "deadline_seconds": self.leave_seconds,
        }
        return changes | {name: value for name, value in own.items() if value is not None}

    @staticmethod
    def name_of(entry: UndoEntry) -> str:
        """Return the name of its history."""
        return f"{entry.fault}-beside"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Start it."""
        at_ns, name = time.time_ns(), self.name_of(entry)
        try:
            beside.start(self.asked(world), entry.id, name, self.changes(world))
        except HarnessError as error:
            raise FaultNotInjected(f"the load beside did not start: {error}") from error
        return Fired("a load beside the rated one", at_ns, {"history": name})

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """End it; in another process than the one that started it there is none to end."""
        del world, within_seconds
        ended = beside.end(entry.id)
        return "the load beside was ended" if ended else "no load beside runs"
