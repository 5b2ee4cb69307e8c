"""The queue is back; each job that it took was done once, whoever was refused was told in time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from pydantic import Field

from hotfire.batches import Batch, Batches, answers
from hotfire.chaos import jobs_sent, queue
from hotfire.chaos.jobs_sent import Sender, Sent
from hotfire.chaos.sighting import Scene, Sighting, SightingWord, all_of
from hotfire.chaos.step import step_of
from hotfire.chaos.steps.jobs_beside import JobsBeside
from hotfire.chaos.targets.jobs_part import pods_of
from hotfire.profile import TargetProfile

_RETRY_AFTER: Final = "retry-after"
_LATE_ONES: Final = 20
"""One in so many refusals may come late, by chance: a 95th percentile."""


class JobsKept(SightingWord):
    """PONG from as many pods as before, one answer of each job, and 503 with Retry-After."""

    word: Literal["jobs-kept"] = "jobs-kept"
    refused_within_seconds: float = Field(gt=0)
    """How long whoever is refused may wait for that."""

    def look(self, scene: Scene) -> Sighting:
        """Return whether all of it is so."""
        back = queue_back(scene)
        # What waits in a queue that is away cannot have been done.
        return all_of([back, *self._of_jobs(scene)]) if back.seen == "yes" else back

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time until the queue is back, and others have taken what workers had."""
        waits = profile.waits
        again = profile.jobs.redelivery_seconds if profile.jobs else 0.0
        return waits.healing_seconds + again if over else waits.injection_seconds

    def _of_jobs(self, scene: Scene) -> Iterator[Sighting]:
        for entry in scene.entries:
            if not isinstance(step_of(entry), JobsBeside):
                continue
            sender = jobs_sent.sender_of(entry.id)
            if sender is None:
                yield Sighting("unknown", "nobody here knows which jobs were queued")
            else:
                yield accepted_done(sender)
                yield refused_told(sender.refused(), self.refused_within_seconds)


def queue_back(scene: Scene) -> Sighting:
    """Return whether as many pods of the queue answer as were hit."""
    said = [queue.asked(scene.world, pod) for pod in pods_of(scene.world, "queue") if pod.serving]
    back = sum(one.answered for one in said)
    wanted = len({target.uid for target in scene.plan.targets})
    return Sighting.of(back >= wanted, f"{back} of {wanted} pods of the queue answer PING")


def accepted_done(sender: Sender) -> Sighting:
    """Return whether each accepted job has one answer."""
    accepted = list(sender.accepted())
    lacking = []
    for sent, name in accepted:
        if name not in sender.kept and (lack := _lack(sender.client, sent, name)):
            lacking.append(lack)
        else:
            sender.kept.add(name)
    words = f"{len(accepted) - len(lacking)} of {len(accepted)} accepted batches are done"
    return Sighting.of(not lacking, "; ".join([words, *lacking[:1]]))


def _lack(client: Batches, sent: Sent, name: str) -> str:
    """Return what a batch lacks; empty: nothing."""
    batch = Batch.of(client.look(name))
    if batch is None or not batch.over:
        return f"{name}: {batch or 'nobody tells of it'}"
    contents = [client.content(file).content for file in batch.files]
    found = Counter(one.job for content in contents for one in answers(content) if one.ok)
    lost, more = len(set(sent.jobs) - found.keys()), sum(count > 1 for count in found.values())
    return f"{name}: {lost} jobs lost, {more} done twice" if lost or more else ""


def refused_told(refused: Sequence[Sent], limit_seconds: float) -> Sighting:
    """Return whether whoever was refused was told so, in time and with a time to come again."""
    replies = [one.came.reply for one in refused]
    silent = [one for one in replies if one.status != 503 or _RETRY_AFTER not in one.headers]
    late = [one for one in replies if one.seconds > limit_seconds]
    words = f"{len(replies)} batches refused, {len(silent)} of them without 503 and Retry-After"
    if silent:
        words += f" ({silent[0].why})"
    told = f"{words}, {len(late)} later than {limit_seconds:g} s"
    return Sighting.of(not silent and len(late) <= len(replies) // _LATE_ONES, told)
