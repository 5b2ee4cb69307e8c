"""Opens many streams, and closes all of them in one moment, as a client that is killed does."""

import time
from typing import Any, ClassVar, Literal

from pydantic import Field

from hotfire.chaos import beside, engine_counts
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.steps.more_load import MoreLoad
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import until


class StreamBurst(Step):
    """Streams beside the rated load, cancelled while the engines write them."""

    word: Literal["stream-burst"] = "stream-burst"
    lives_on: ClassVar[Life] = "nowhere"
    streams: int = Field(gt=0, le=800)
    max_tokens: int = Field(gt=0)
    """Length of their answers: too long to end before they are cancelled."""
    running: int = Field(gt=0)
    """How many the engines must write at a time, those of the rated load included."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return who is asked; the engines must tell what they are busy with."""
        del target
        engine_counts.total(world, engine_counts.RUNNING)
        return f"the gateway {world.profile.gateway.url}, which may refuse"

    def changes(self) -> dict[str, Any]:
        """Return what differs from the rated plan."""
        shape = {"mode": "closed", "concurrency": self.streams, "max_tokens": self.max_tokens}
        # Not the rated load's prompts again.
        return shape | {"seed": 1}

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Start them, wait until the engines write them, and end the client's process."""
        name = MoreLoad.name_of(entry)
        try:
            beside.start(world, entry.id, name, self.changes())
            self._await_running(world)
        except HarnessError as error:
            raise FaultNotInjected(f"the streams were not written: {error}") from error
        finally:
            at_ns = time.time_ns()
            beside.end(entry.id)
        return Fired("the client that read the streams was killed", at_ns, {"history": name})

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """End what a start that failed may have left in this process."""
        del world, within_seconds
        beside.end(entry.id)
        return "no stream of the burst is open"

    def _await_running(self, world: World) -> None:
        until(
            lambda: engine_counts.total(world, engine_counts.RUNNING) >= self.running,
            within_seconds=world.profile.waits.injection_seconds,
            what=f"{self.running} requests running in the engines",
            excused_seconds=world.cluster.silent_seconds,
        )
