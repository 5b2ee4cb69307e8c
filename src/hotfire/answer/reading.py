"""Reads the body of an answer that was received whole, as the load reads a stream. Pure."""

import re
from dataclasses import dataclass, field

from hotfire.answer.sse import Parser, ServerEvent
from hotfire.answer.transcript import (
    DETAIL_LIMIT,
    EVENT_LIMIT_BYTES,
    Outcome,
    Transcript,
    not_asked_for,
    refused,
    too_long,
)
from hotfire.measure.history import FailureClass

PIECE_BYTES = 16_384
"""What a load's client receives at once, at most."""
# What broke the way, by the first word of it; a timeout depends on how far the answer had come.
_BROKEN = {
    "connect": FailureClass.CONNECT,
    "deadline": FailureClass.DEADLINE,
    "reset": FailureClass.RESET_MIDSTREAM,
}
_CLOSED = re.compile(r"\b(closed|disconnected)\b")
"""What httpx says of a close before the end, which it counts among breaches of the protocol."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body said."""

    said: Transcript
    events: list[ServerEvent] = field(default_factory=list)
    left: bool = False
    """Whether a client would not have waited for its end."""

    def outcome(
        self, *, status: int | None, broken: str, streamed: bool, content_type: str, body: bytes
    ) -> Outcome:
        """Return the class that a load would give the answer; (None, "") for a complete one.

        ``broken`` begins with what broke the connection: connect, timeout, deadline, reset, or
        anything else for what is not HTTP or was closed before its end; empty: nothing did.
        """
        word = broken.partition(":")[0]
        if status is not None and status >= 300:
            return refused(status, body)
        if not broken or self.left:
            start = body[:DETAIL_LIMIT]
            return self.said.outcome(streamed=streamed, content_type=content_type, start=start)
        if word == "timeout":
            return self._silent(status), broken[:DETAIL_LIMIT]
        closed = FailureClass.FIN_MIDSTREAM if _CLOSED.search(broken) else FailureClass.MALFORMED
        return _BROKEN.get(word, closed), broken[:DETAIL_LIMIT]

    def _silent(self, status: int | None) -> FailureClass:
        if status is None:
            return FailureClass.HEADER_TIMEOUT
        begun = self.said.last_ns is not None
        return FailureClass.STALL_TIMEOUT if begun else FailureClass.TTFT_TIMEOUT


def read_stream(body: bytes, *, whole: bool) -> Reading:
    """Read a body of events; ``whole``: it ended as HTTP says it should."""
    said, parser, events = Transcript(keep_text=True), Parser(), list[ServerEvent]()
    left = False
    for start in range(0, len(body), PIECE_BYTES):
        events += parser.feed(body[start : start + PIECE_BYTES])
        left = parser.held_bytes > EVENT_LIMIT_BYTES
        if left:
            break
    events += parser.end() if whole and not left else []
    for event in events:
        said.take(event.data, 0, event.name)
    if left:
        said.broken = said.broken or too_long(EVENT_LIMIT_BYTES)
    return Reading(said, events, left)


def read_whole(body: bytes) -> Reading:
    """Read the body of an answer that is not streamed."""
    said = Transcript(keep_text=True)
    said.take_whole(body, 0)
    return Reading(said)


def unread(coding: str) -> Reading:
    """Return what is known of a body in an encoding nobody asked for: nothing."""
    said = Transcript(keep_text=True)
    said.broken = not_asked_for(coding)
    return Reading(said, left=True)
