"""One answer, read as its bytes arrive: HTTP/1.1 by httptools, its events by ``answer.sse``.

Most of a stream is chunks that hold plain tokens; ``plain`` recognises those, and httptools, which
stands between two chunks then, never sees them.
"""

from typing import Any

import httptools

from hotfire.answer import served_by
from hotfire.answer.gaps import Gaps
from hotfire.answer.sse import Parser
from hotfire.answer.transcript import (
    DETAIL_LIMIT,
    EVENT_LIMIT_BYTES,
    Outcome,
    Transcript,
    foreign_coding,
    not_asked_for,
    refused,
    too_long,
)
from hotfire.traffic.wire.plain import Template, learn

HEADERS_LIMIT_BYTES = 65_536
"""Headers, trailers, chunk extensions: what may come without a byte of body in between."""
BODY_LIMIT_BYTES = 8 << 20
"""A whole answer of a long context has a megabyte."""
LESSONS = 8
_SERVED_BY = tuple(name.encode() for name in served_by.HEADERS)


class AnswerParser:
    """What one response has shown so far; stamps are the monotonic times given to ``feed``."""

    __slots__ = (
        "_between", "_body", "_body_bytes", "_coding", "_content_type", "_events", "_framed",
        "_keep", "_lessons", "_now", "_overrun", "_parser", "_plain", "_since_body", "_streamed",
        "ended", "headers_ns", "received", "said", "served_by", "status",
    )  # fmt: skip

    def __init__(
        self, *, streamed: bool = True, short_cut: bool = True, gaps: Gaps | None = None
    ) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._streamed = streamed
        self._now = 0
        self._framed = False
        self._keep = False
        self._overrun = False
        self._between = False
        self._since_body = 0
        self._content_type = ""
        self._coding = ""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._events = Parser()
        self._plain: Template | None = None
        self._lessons = LESSONS if short_cut else 0
        self.said = Transcript(gaps)
        self.received = False
        self.ended = False
        self.status: int | None = None
        self.served_by: str | None = None
        self.headers_ns: int | None = None

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take what was received at that time; afterwards look at ``ended``."""
        plain = self._plain
        if plain is not None and self._between:
            if plain.is_one(data):
                self.said.gaps.note(now_ns)
                return
            used, tokens = plain.take(data)
            for _ in range(tokens):
                self.said.gaps.note(now_ns)
            if used == len(data):
                return
            data = data[used:]
        self._parse(data, now_ns)

    @property
    def plain(self) -> Template | None:
        """What the plain tokens look like that may follow, if the next byte begins a chunk."""
        return self._plain if self._between else None

    def _parse(self, data: bytes, now_ns: int) -> None:
        self._now = now_ns
        self.received = True
        self._since_body += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            # A defect of ours; it must end the load rather than blame the target.
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.ended:
                self._overrun = True
            else:
                self._break(f"not HTTP: {error}")
        if self._since_body > HEADERS_LIMIT_BYTES and not self.ended:
            self._break(f"{self._since_body} bytes of headers, extensions or trailers")
        self._between = self._between and data.endswith(b"\r\n") and self._events.fresh

    def _break(self, why: str) -> None:
        """End the answer here: nothing that follows can be understood."""
        self.said.broken = self.said.broken or why
        self.ended = True
        self._keep = False

    def closed(self) -> bool:
        """Note that the peer closed; return whether that is how this body ends."""
        if self.headers_ns is not None and not self._framed and not self.ended:
            self._on_end()
        return self.ended

    def let_go(self) -> None:
        """Leave the parser, which holds us as we hold it; nothing can be fed any more.

        What refers to itself waits for a collection, and a thousand of them make a long one.
        """
        self._parser = None

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.ended and self._framed and self._keep and not self._overrun

    def outcome(self) -> Outcome:
        """Return what kind of answer an ended one was; (None, "") for a complete one."""
        if self.status is not None and self.status >= 300:
            return self.refusal()
        start = b"".join(self._body) if self._streamed else b""
        return self.said.outcome(
            streamed=self._streamed, content_type=self._content_type, start=start
        )

    def refusal(self) -> Outcome:
        """Return the class of a status that is not 2xx."""
        return refused(self.status or 0, b"".join(self._body))

    # httptools calls these.

    def on_message_begin(self) -> None:
        """Begin an answer; an interim one (1xx) may have come before it."""
        if self.ended:
            self._overrun = True
            return
        self._framed = False
        self._content_type = ""
        self._coding = ""

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.ended or self.headers_ns is not None:
            return  # of an answer nobody asked for, or a trailer
        name = name.lower()
        if name in _SERVED_BY:
            self.served_by = value.decode(errors="replace")[:DETAIL_LIMIT]
        elif name == b"content-length":
            self._framed = True
        elif name == b"transfer-encoding":
            self._framed = b"chunked" in value.lower()
        if name in (b"transfer-encoding", b"content-encoding"):
            self._coding += foreign_coding(name.decode(), value.decode(errors="replace"))
        elif name == b"content-type":
            self._content_type = value.decode(errors="replace")[:DETAIL_LIMIT].lower()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.ended or status < 200:
            return
        self.status = status
        self.headers_ns = self._now
        # Once the message is complete the parser has forgotten.
        self._keep = self._parser.should_keep_alive()
        if self._coding and status < 300:
            self._break(not_asked_for(self._coding))

    def on_chunk_header(self) -> None:
        self._between = False

    def on_chunk_complete(self) -> None:
        self._between = True

    def on_body(self, data: bytes) -> None:
        if self.ended:
            return
        self._since_body = 0
        streamed = self._streamed and self.status is not None and self.status < 300
        if not streamed or self._body_bytes < DETAIL_LIMIT:
            kept = data[:DETAIL_LIMIT] if streamed else data
            self._body.append(kept)
            self._body_bytes += len(kept)
        if streamed:
            self._on_events(data)
        elif self._body_bytes > BODY_LIMIT_BYTES:
            self._break(f"a body of more than {BODY_LIMIT_BYTES} bytes")

    def _on_events(self, data: bytes) -> None:
        for event in self._events.feed(data):
            self._on_event(event.data, event.name)
        if self._events.held_bytes > EVENT_LIMIT_BYTES:
            self._break(too_long(EVENT_LIMIT_BYTES))

    def _on_event(self, data: str, name: str) -> None:
        document = self.said.take(data, self._now, name)
        if self.said.done:
            self._plain = None
            self._lessons = 0
        elif document and self._lessons and self.said.last_ns == self._now:
            self._learn(data, document)

    def _learn(self, data: str, document: dict[str, Any]) -> None:
        if self._plain is None or not self._plain.fits(data.encode()):
            self._lessons -= 1
            self._plain = learn(data, document) or self._plain

    def on_message_complete(self) -> None:
        # An interim answer (1xx) is a message too.
        if self.status is not None and not self.ended:
            self._on_end()

    def _on_end(self) -> None:
        self.ended = True
        if self.status is None or self.status >= 300:
            return
        if not self._streamed:
            self.said.take_whole(b"".join(self._body), self._now)
        for event in self._events.end():
            self._on_event(event.data, event.name)
