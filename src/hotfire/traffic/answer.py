"""One answer, read as its bytes arrive: HTTP/1.1 by httptools, SSE and OpenAI chunks by hand."""

import json
from array import array
from typing import Any

import httptools

from hotfire.history import FailureClass

BODY_LIMIT_BYTES = 65_536
DETAIL_LIMIT = 200
SERVED_BY = (b"x-served-by", b"x-inference-pod")
STATUS_CLASSES = {429: FailureClass.HTTP_429, 503: FailureClass.HTTP_503}

Outcome = tuple[FailureClass | None, str]


class Answer:
    """What one response has shown so far; stamps are the monotonic times given to ``feed``."""

    __slots__ = (
        "_broken", "_data", "_framed", "_keep", "_line", "_now", "_parser", "_text", "done",
        "ended", "error", "finish_reason", "first_ns", "first_output_ns", "gaps_ns", "headers_ns",
        "last_ns", "n_first", "n_in", "n_out", "received", "served_by", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._now = 0
        self._framed = False
        self._keep = False
        self._line = b""
        self._data: list[bytes] = []
        self._text = b""
        self._broken = ""
        self.received = False
        self.ended = False
        self.done = False
        self.error = ""
        self.status: int | None = None
        self.served_by: str | None = None
        self.finish_reason: str | None = None
        self.headers_ns: int | None = None
        self.first_ns: int | None = None
        self.first_output_ns: int | None = None
        self.last_ns: int | None = None
        self.gaps_ns = array("q")
        self.n_in: int | None = None
        self.n_out: int | None = None
        self.n_first = 1

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take what was received at that time; afterwards look at ``ended``."""
        self._now = now_ns
        self.received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            # A defect of ours; it must end the load rather than blame the target.
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.ended:
                self._framed = False  # more than was announced: do not reuse
            else:
                self._broken = self._broken or f"not HTTP: {error}"
                self.ended = True

    def closed(self) -> bool:
        """Note that the peer closed; return whether that is how this body ends."""
        if self.headers_ns is not None and not self._framed and not self._broken:
            self.ended = True
        return self.ended

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self.ended and not self._broken and self._framed and self._keep

    def outcome(self) -> Outcome:
        """Return what kind of answer an ended one was; (None, "") for a complete one."""
        if self.status is not None and self.status >= 300:
            return self.refusal()
        chunks = len(self.gaps_ns) + (self.first_ns is not None)
        for wrong, kind, detail in (
            (self._broken, FailureClass.MALFORMED, self._broken),
            (self.error, FailureClass.SSE_ERROR, self.error),
            (not self.done, FailureClass.TRUNCATED_NO_DONE, f"ended after {chunks} chunks"),
            (self.first_ns is None, FailureClass.MALFORMED, "no output"),
            (self.finish_reason is None, FailureClass.MALFORMED, "no finish_reason"),
        ):
            if wrong:
                return kind, detail[:DETAIL_LIMIT]
        return None, ""

    def refusal(self) -> Outcome:
        """Return the class of a status that is not 2xx."""
        status = self.status or 0
        general = {3: FailureClass.MALFORMED, 4: FailureClass.HTTP_4XX, 5: FailureClass.HTTP_5XX}
        kind = STATUS_CLASSES.get(status) or general.get(status // 100, FailureClass.MALFORMED)
        return kind, f"{status}: {self._excerpt()}"[:DETAIL_LIMIT]

    def _excerpt(self) -> str:
        return self._text[:DETAIL_LIMIT].decode(errors="replace")

    # httptools calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in SERVED_BY:
            self.served_by = value.decode(errors="replace")
        elif name == b"content-length" or (
            name == b"transfer-encoding" and b"chunked" in value.lower()
        ):
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self.headers_ns = self._now
            # Once the message is complete the parser has forgotten.
            self._keep = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        if len(self._text) < DETAIL_LIMIT:
            self._text += data[:DETAIL_LIMIT]
        if self.status is None or self.status >= 300:
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._on_line(line.removesuffix(b"\r"))

    def on_message_complete(self) -> None:
        # An interim answer (1xx) is a message too.
        self.ended = self.status is not None

    # Server-sent events.

    def _on_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            self._on_event(data)

    def _on_event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.done = True
        elif self.first_ns is not None and plain_token(data):
            self._output()
        else:
            self._on_json(data)

    def _on_json(self, data: bytes) -> None:
        try:
            document = json.loads(data)
            if not isinstance(document, dict):
                raise TypeError(document)  # noqa: TRY301 - handled like any other wrong shape
            self._on_document(document)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            shown = data[:80].decode(errors="replace")
            self._broken = self._broken or f"event is no chunk: {error!r} in {shown}"

    def _on_document(self, document: dict[str, Any]) -> None:
        if document.get("error") or document.get("object") == "error":
            self.error = self.error or json.dumps(document.get("error") or document)
            return
        before = self.first_ns
        for choice in document.get("choices") or ():
            self._on_choice(choice)
        if usage := document.get("usage"):
            self.n_in = _count(usage.get("prompt_tokens"))
            self.n_out = _count(usage.get("completion_tokens"))
            if before is None and self.first_ns is not None and self.n_out:
                self.n_first = self.n_out

    def _on_choice(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or {}
        finish = choice.get("finish_reason")
        answer = delta.get("content") or delta.get("tool_calls") or choice.get("text")
        thought = delta.get("reasoning") or delta.get("reasoning_content")
        empty = delta.get("content") == "" or choice.get("text") == ""
        special = empty and "role" not in delta and not finish and not thought
        if answer or thought or special:
            self._output(thinking=bool(thought) and not answer)
        self.finish_reason = str(finish) if finish else self.finish_reason

    def _output(self, *, thinking: bool = False) -> None:
        now = self._now
        if self.last_ns is None:
            self.first_ns = now
        else:
            self.gaps_ns.append(now - self.last_ns)
        if not thinking and self.first_output_ns is None:
            self.first_output_ns = now
        self.last_ns = now


def _count(value: object) -> int | None:
    """Return a number of tokens, None for anything else."""
    return value if isinstance(value, int) and 0 <= value < 2**31 else None


def plain_token(data: bytes) -> bool:
    """Return whether an event is surely a chunk of text and nothing else, without parsing it.

    Quotes inside a JSON string are escaped, so these patterns cannot be part of the text.
    """
    return (
        b'"finish_reason":null' in data
        and (b'"delta":{"content":"' in data or b'"text":"' in data)
        and b'"content":""' not in data
        and b'"text":""' not in data
        and b'"usage":{' not in data
        and b'"error":' not in data
    )
