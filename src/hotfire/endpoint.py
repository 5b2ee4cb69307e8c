"""The OpenAI-compatible endpoint under test, asked through the bounded reader.

Whatever the target does comes back as data. Nothing here raises for it.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from hotfire.access import Access
from hotfire.answer import served_by
from hotfire.answer.reading import Reading, read_stream, read_whole, unread
from hotfire.answer.transcript import NO_OUTPUT, Outcome, foreign_coding
from hotfire.bounded import Page, Reader, Transport, json_of
from hotfire.evidence import redact
from hotfire.measure.history import FailureClass
from hotfire.profile import TargetProfile

_SERVED_BY = (*served_by.HEADERS, "x-backend")
_KEPT_CHARACTERS = 4000

Json = Mapping[str, object]
Recorder = Callable[[Json], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the target answered, or how it failed to.

    ``status`` is None when no response line came. ``error`` is None for a response that arrived
    whole, else what broke: connect, deadline, size, encoding, reset, protocol. ``events`` are the
    data of the server-sent events, ``body`` the JSON object of any other answer. ``text`` is that
    of the first choice, streamed or not. ``failure`` is the class that a load would give a
    generation, with what it looked like; None for a complete one, and for whatever is no
    generation. ``content`` is what arrived, as it came.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, object] | None = None
    events: list[str] = field(default_factory=list)
    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, object] | None = None
    error: str | None = None
    failure: FailureClass | None = None
    detail: str = ""
    seconds: float = 0.0
    content: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether a success arrived whole, of a generation a complete answer."""
        arrived = self.error is None and self.status is not None and 200 <= self.status < 300
        return arrived and (self.failure is None or self.ended_empty)

    @property
    def ended_empty(self) -> bool:
        """Whether it ended as it should, with no text: a model may stop before its first word.

        For a load that is a failure, since it has no first token to measure.
        """
        nothing = self.failure is FailureClass.MALFORMED and self.detail == NO_OUTPUT
        return nothing and self.finish_reason is not None

    @property
    def why(self) -> str:
        """What is wrong with one that is not ok, in one line."""
        told = (self.error or self.failure, self.detail)
        return f"{self.status} {': '.join(str(part) for part in told if part)}".rstrip()

    @property
    def served_by(self) -> str | None:
        """The backend that says it answered; None when none does."""
        return next((self.headers[name] for name in _SERVED_BY if name in self.headers), None)

    @property
    def chunks(self) -> list[dict[str, object]]:
        """The JSON objects among the events, in order; the sentinel and broken ones left out."""
        return [chunk for chunk in map(_json_object, self.events) if chunk is not None]


class Endpoint:
    """A client of one base URL, one request at a time, as careful as the slowest deadline."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        deadline_seconds: float = 30.0,
        access: Access | None = None,
        record: Recorder | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Name the target; ``transport`` replaces the network, as tests do.

        ``record`` receives every exchange as a JSON-like mapping.
        """
        self._access = access or Access()
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.deadline_seconds = deadline_seconds
        self._record = record
        self._pooled = self._reader(transport, kept_alive=8)
        self._fresh = self._reader(transport, kept_alive=0)

    @classmethod
    def of(
        cls,
        profile: TargetProfile,
        *,
        deadline_seconds: float | None = None,
        record: Recorder | None = None,
    ) -> Self:
        """Return a client of a target's gateway, with what it wants to see.

        Raises:
            ProfileError: a secret or a file that the target file names cannot be read.
        """
        return cls(
            profile.gateway.reachable_url + profile.gateway.base_path,
            profile.engine.model,
            deadline_seconds=deadline_seconds or profile.load.deadline_seconds,
            access=Access.to(profile.gateway),
            record=record,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._pooled.close()
        self._fresh.close()

    def chat(
        self,
        prompt: str,
        *,
        max_tokens: int = 16,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        fresh: bool = False,
        **extra: object,
    ) -> Reply:
        """Ask for one chat completion; ``extra`` fields are sent as they are.

        A streamed one asks for its usage too, unless ``stream_options`` says otherwise.
        ``fresh`` opens a connection of its own.
        """
        document = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "stream": stream,
        }
        return self._ask("/v1/chat/completions", document | extra, headers=headers, fresh=fresh)

    def complete(
        self,
        prompt: str,
        *,
        max_tokens: int = 16,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        fresh: bool = False,
        **extra: object,
    ) -> Reply:
        """Ask for one plain completion; see ``chat``."""
        document = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": max_tokens,
            "stream": stream,
        }
        return self._ask("/v1/completions", document | extra, headers=headers, fresh=fresh)

    def models(self) -> Reply:
        """List the served models."""
        return self.get("/v1/models")

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Fetch a path."""
        return self._exchange(self._pooled, "GET", path, None, headers)

    def post_raw(
        self, path: str, content: bytes, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send bytes as they are, well-formed or not."""
        return self._exchange(self._pooled, "POST", path, content, headers)

    def _ask(
        self, path: str, document: Json, *, headers: Mapping[str, str] | None, fresh: bool
    ) -> Reply:
        if document.get("stream") and "stream_options" not in document:
            document = {**document, "stream_options": {"include_usage": True}}
        client = self._fresh if fresh else self._pooled
        content, streamed = json.dumps(document).encode(), bool(document.get("stream"))
        return self._exchange(client, "POST", path, content, headers, streamed=streamed)

    def _exchange(
        self,
        reader: Reader,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        *,
        streamed: bool | None = None,
    ) -> Reply:
        """Send one request; ``streamed``: how a generation was asked for, None if it is none."""
        started = time.monotonic()
        own = {name.lower(): value for name, value in (headers or {}).items()}
        sent = {"content-type": "application/json", **self._access.headers, **own}
        page = reader.ask(method, path, content=content, headers=sent)
        reply = _Answer(page).reply(seconds=time.monotonic() - started, streamed=streamed)
        if self._record is not None:
            self._record(_entry(method, self.base_url + path, sent, content, reply))
        return reply

    def _reader(self, transport: Transport | None, *, kept_alive: int) -> Reader:
        return Reader(
            self.base_url,
            deadline_seconds=self.deadline_seconds,
            trusted=self._access.trusted,
            server_name=self._access.server_name,
            kept_alive=kept_alive,
            transport=transport,
        )


class _Answer:
    """An answer as it came in; what had arrived survives whatever broke it."""

    def __init__(self, page: Page) -> None:
        self.error = page.error
        self._status = page.status
        self._headers = page.headers
        self._content = page.content

    def reply(self, *, seconds: float, streamed: bool | None) -> Reply:
        kind, content = self._headers.get("content-type", "").lower(), bytes(self._content)
        as_events = "event-stream" in kind
        read = self._reading(content, as_events if streamed is None else streamed)
        body = None if as_events else _json_object(content)
        events = [event.data for event in read.events]
        outcome: Outcome = (None, "")
        if streamed is not None:
            broken = self.error or ""
            outcome = read.outcome(
                status=self._status, broken=broken, streamed=streamed, content_type=kind,
                body=content,
            )  # fmt: skip
        return Reply(
            status=self._status,
            headers=self._headers,
            body=body,
            events=events,
            text=read.said.text,
            finish_reason=read.said.finish_reason,
            usage=_usage([body, *map(_json_object, events)]),
            error=self.error,
            failure=outcome[0],
            detail=outcome[1],
            seconds=seconds,
            content=content,
        )

    def _reading(self, content: bytes, streamed: bool) -> Reading:
        codings = (foreign_coding(name, value) for name, value in self._headers.items())
        if coding := next(filter(None, codings), ""):
            return unread(coding)
        whole = self.error is None
        return read_stream(content, whole=whole) if streamed else read_whole(content)


def _json_object(text: str | bytes | bytearray) -> dict[str, object] | None:
    try:
        document = json_of(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _usage(documents: list[dict[str, object] | None]) -> dict[str, object] | None:
    found = [document.get("usage") for document in documents if document]
    return next((usage for usage in reversed(found) if isinstance(usage, dict)), None)


def _entry(
    method: str, url: str, headers: Mapping[str, str], content: bytes | None, reply: Reply
) -> Json:
    """Return an exchange as evidence keeps it: whole in shape, cut in length.

    Redacted before it is cut: half a secret is not recognised.
    """
    answer = reply.events if reply.events else reply.body
    return {
        "at_ns": time.time_ns(),
        "request": {
            "method": method,
            "url": url,
            "headers": dict(headers),
            "content": _cut(str(redact(content or b""))),
        },
        "reply": {
            "status": reply.status,
            "headers": dict(reply.headers),
            "content": _cut(json.dumps(redact(answer), ensure_ascii=False)),
            "error": reply.error,
            "seconds": round(reply.seconds, 6),
        },
    }


def _cut(text: str) -> str:
    left_out = len(text) - _KEPT_CHARACTERS
    return text if left_out <= 0 else f"{text[:_KEPT_CHARACTERS]}... ({left_out} more characters)"
