"""Whose call a request is, as the W3C writes it, and how long it took, as OpenTelemetry does.

TRACES is the URL where spans go; without it none is told, and callers are named all the same.
"""

import http.client
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Json = dict[str, Any]
HEADER = "traceparent"
SERVER, CLIENT = 2, 3
"""Kinds of spans: by who was called, and by who calls."""
SEND_SECONDS, GATHER_SECONDS, MOST_TOGETHER = 2.0, 0.2, 200
_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}.*")


class Context(NamedTuple):
    """A span by its ids, in hexadecimal digits."""

    trace: str
    span: str

    @property
    def headers(self) -> dict[str, str]:
        return {HEADER: f"00-{self.trace}-{self.span}-01"}


_CURRENT: ContextVar[Context | None] = ContextVar("_CURRENT", default=None)


def caller(headers: Mapping[str, str]) -> Context | None:
    """Return who called, by headers with names in lower case; None where they do not say."""
    found = _PARENT.fullmatch(headers.get(HEADER, ""))
    return Context(found[1], found[2]) if found else None


@dataclass(frozen=True)
class Span:
    """Something that was begun on somebody's behalf."""

    service: str
    name: str
    kind: int
    parent: Context | None
    context: Context
    began_ns: int = field(default_factory=time.time_ns)

    def document(self, ended_ns: int) -> Json:
        """Return it as OTLP has it in JSON, of a whole request to take it."""
        span = {
            "traceId": self.context.trace,
            "spanId": self.context.span,
            "parentSpanId": self.parent.span if self.parent else "",
            "name": self.name,
            "kind": self.kind,
            "startTimeUnixNano": str(self.began_ns),
            "endTimeUnixNano": str(ended_ns),
        }
        service = {"key": "service.name", "value": {"stringValue": self.service}}
        return {"resource": {"attributes": [service]}, "scopeSpans": [{"spans": [span]}]}


class Tracer:
    """Tells of the spans of one service."""

    def __init__(self, service: str, url: str) -> None:
        self._service, self._url = service, url
        self._ended: SimpleQueue[Json] = SimpleQueue()
        if url:
            Thread(target=self._tell, daemon=True).start()

    @classmethod
    def of_environment(cls, service: str) -> "Tracer":
        """Return one that tells where the environment says."""
        return cls(service, os.environ.get("TRACES", ""))

    def begin(self, name: str, kind: int, parent: Context | None) -> Span:
        """Return a new span; without a parent it is the first of its trace."""
        trace = parent.trace if parent else secrets.token_hex(16)
        return Span(self._service, name, kind, parent, Context(trace, secrets.token_hex(8)))

    def end(self, span: Span, ended_ns: int | None = None) -> None:
        """Tell of a span that is over."""
        if self._url:
            self._ended.put(span.document(ended_ns or time.time_ns()))

    def begin_call(self, name: str) -> Span:
        """Return the span of a call that is made for whoever is served now."""
        return self.begin(name, CLIENT, _CURRENT.get())

    @contextmanager
    def calling(self, name: str) -> Iterator[Mapping[str, str]]:
        """Yield the headers of such a call, which lasts for the length of the block."""
        span = self.begin_call(name)
        try:
            yield span.context.headers
        finally:
            self.end(span)

    @contextmanager
    def serving(self, name: str, headers: Mapping[str, str]) -> Iterator[None]:
        """Serve whoever these headers say for the length of a block."""
        span = self.begin(name, SERVER, caller(headers))
        token = _CURRENT.set(span.context)
        try:
            yield
        finally:
            _CURRENT.reset(token)
            self.end(span)

    def _tell(self) -> None:
        """Send what has ended, some of it together; what nobody takes is lost."""
        parts = urlsplit(self._url)
        while True:
            body = json.dumps({"resourceSpans": self._gathered()})
            peer = http.client.HTTPConnection(parts.netloc, timeout=SEND_SECONDS)
            try:
                peer.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
                peer.getresponse().read()
            except (OSError, http.client.HTTPException):
                continue
            finally:
                peer.close()

    def _gathered(self) -> list[Json]:
        found = [self._ended.get()]
        try:
            while len(found) < MOST_TOGETHER:
                found.append(self._ended.get(timeout=GATHER_SECONDS))
        except Empty:
            pass
        return found
