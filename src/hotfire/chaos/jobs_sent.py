"""Jobs that are queued while a fault lasts: what was accepted of them, and what was refused.

They are sent by a thread of the process that fires, and are known to no other one.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final

from hotfire.batches import Batches, Submitted

_SENDERS: dict[str, "Sender"] = {}
_JOIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One batch that was sent."""

    jobs: tuple[str, ...]
    came: Submitted


@dataclass(slots=True, kw_only=True)
class Sender:
    """Sends one batch of many jobs, and then one of a single job again and again."""

    client: Batches
    max_tokens: int
    every_seconds: float
    sent: list[Sent] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    """The batches whose jobs were all seen to be answered once."""
    _over: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def send(self, count: int) -> Sent:
        """Send one batch."""
        run = uuid.uuid4().hex[:12]
        jobs = tuple(f"{run}-{number}" for number in range(count))
        came = self.client.submit(jobs, max_tokens=self.max_tokens)
        self.sent.append(Sent(jobs=jobs, came=came))
        return self.sent[-1]

    def go_on(self) -> None:
        """Send one job after the other, until it is ended."""
        self._thread = Thread(target=self._send_on, daemon=True)
        self._thread.start()

    def _send_on(self) -> None:
        while not self._over.wait(self.every_seconds):
            self.send(1)

    def end(self) -> None:
        """Send no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def accepted(self) -> Iterator[tuple[Sent, str]]:
        """Yield what was accepted, with the batch's name."""
        for one in list(self.sent):
            if one.came.batch is not None:
                yield one, one.came.batch.name

    def refused(self) -> list[Sent]:
        """Return what was not accepted."""
        return [one for one in list(self.sent) if one.came.batch is None]


def keep(entry_id: str, sender: Sender) -> None:
    """Have a sender found by its entry."""
    _SENDERS[entry_id] = sender


def sender_of(entry_id: str) -> Sender | None:
    """Return the sender of an entry; None: this process has none."""
    return _SENDERS.get(entry_id)
