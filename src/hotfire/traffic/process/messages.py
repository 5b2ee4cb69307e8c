"""What master and workers of a distributed load say to each other over Locust's own connection.

worker                               master
<------------- PING n ---------------    many times; the fastest round trip counts
-------------- PONG n, clock ------->
<------------- PLAN part of parts ---    at most PART_BYTES each
-------------- READY or UNABLE ----->
<------------- GO t0 ----------------    to all, as soon as all are ready
-------------- ROWS n -------------->    again until it is acknowledged
<------------- GOT n ----------------
-------------- PRESENT ------------->    every second: how fit it is
<------------- STOP -----------------    only if the load ends before its plan
-------------- ENDED --------------->    after the last row was acknowledged
"""

from collections.abc import Iterator
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from hotfire.traffic.record.files import Ended

PART_BYTES = 512 * 1024
PING, PONG = "hotfire_ping", "hotfire_pong"
PLAN, READY, UNABLE = "hotfire_plan", "hotfire_ready", "hotfire_unable"
GO, ROWS, GOT = "hotfire_go", "hotfire_rows", "hotfire_got"
PRESENT = "hotfire_present"
STOP, ENDED = "hotfire_stop", "hotfire_ended"


class Runner(Protocol):
    """What a Locust runner can do for us."""

    def send_message(self, msg_type: str, data: Any = None, client_id: str | None = None) -> None:  # noqa: ANN401
        """Send a message: to the master, or to one worker."""

    def register_message(self, msg_type: str, listener: Any, concurrent: bool = False) -> None:  # noqa: ANN401
        """Call the listener with every message of a kind."""


class Message(BaseModel):
    """A message; its content is checked on arrival, since it comes from another machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ping(Message):
    """The master's question for the time."""

    number: int


class Pong(Message):
    """A worker's answer: both its clocks at one moment."""

    number: int
    monotonic_ns: int
    epoch_ns: int


class PlanPart(Message):
    """A piece of the plan's JSON."""

    part: int
    parts: int
    text: str


class Ready(Message):
    """A worker has the plan and can start."""

    name: str
    pid: int


class Unable(Message):
    """A worker cannot take part."""

    reason: str


class Go(Message):
    """The start. ``zero_ns`` is the master's epoch when the worker's monotonic clock was 0."""

    worker: int
    workers: int
    t0_epoch_ns: int
    zero_ns: int


class Rows(Message):
    """Lines of the history, numbered from 0."""

    number: int
    lines: bytes


class Got(Message):
    """Rows are safe with the master."""

    number: int


class Over(Message):
    """A worker's last word: its figures, and whether it came to the end of its plan."""

    ended: Ended
    finished: bool


def parts(text: str) -> Iterator[PlanPart]:
    """Return a plan in pieces; JSON of ours is ASCII but for prompts, so characters will do."""
    size = PART_BYTES // 4
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    for part, piece in enumerate(pieces):
        yield PlanPart(part=part, parts=len(pieces), text=piece)
