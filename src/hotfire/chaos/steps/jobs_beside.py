"""Queues jobs beside the rated load: those that were accepted must be done, whatever happens."""

import time
from typing import ClassVar, Literal

from pydantic import Field

from hotfire.batches import Batches
from hotfire.chaos import jobs_sent
from hotfire.chaos.plan import World
from hotfire.chaos.step import Fired, Life, Step
from hotfire.chaos.undo import UndoEntry
from hotfire.chaos.written import Target
from hotfire.cluster import lend_named
from hotfire.errors import FaultNotInjected, HarnessError
from hotfire.waiting import until


class JobsBeside(Step):
    """Many jobs at once, so that some still wait, and one after the other from then on."""

    word: Literal["jobs-beside"] = "jobs-beside"
    lives_on: ClassVar[Life] = "nowhere"
    jobs: int = Field(gt=0, le=1000)
    """How many the first batch has; the next step comes once it was accepted."""
    max_tokens: int = Field(default=16, gt=0)
    """Length of their answers."""
    every_seconds: float = Field(default=1.0, gt=0, le=60)
    """How long after a batch of one job the next one is sent."""

    def rehearse(self, world: World, target: Target) -> str:
        """Return who is asked: nobody has to accept a job before it is sent.

        Raises:
            HarnessError: it is not declared.
        """
        del target
        if world.profile.jobs is None:
            raise HarnessError("set jobs, with the labels of the parts' pods")
        gateway = world.profile.jobs.gateway or world.profile.gateway
        return f"the gateway {gateway.url}, which may refuse"

    def fire(self, world: World, entry: UndoEntry) -> Fired:
        """Send the first batch, and go on."""
        at_ns, jobs = time.time_ns(), world.profile.jobs
        if jobs is None:
            raise FaultNotInjected("the target file has no section `jobs`")
        gateway = jobs.gateway or world.profile.gateway
        lend_named(gateway.shown_headers.values(), world.cluster, field="jobs.gateway")
        sender = jobs_sent.Sender(
            client=Batches.of(world.profile, jobs),
            max_tokens=self.max_tokens,
            every_seconds=self.every_seconds,
        )
        try:
            until(
                lambda: sender.send(self.jobs).came.batch is not None,
                within_seconds=world.profile.waits.injection_seconds,
                what=f"{self.jobs} jobs accepted",
                poll_seconds=1.0,
            )
        except HarnessError as error:
            why = sender.sent[-1].came.reply.why
            raise FaultNotInjected(f"{self.jobs} jobs were not accepted: {why}") from error
        jobs_sent.keep(entry.id, sender)
        sender.go_on()
        return Fired("jobs beside the rated load", at_ns, {"batches": len(sender.sent)})

    def end(self, world: World, entry: UndoEntry, *, within_seconds: float) -> str:
        """Send no more; another process than the one that sent them has nothing to end."""
        del world, within_seconds
        if sender := jobs_sent.sender_of(entry.id):
            sender.end()
        return "no more jobs are queued"
