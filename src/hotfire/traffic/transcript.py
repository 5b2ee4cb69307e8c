"""What the events of one answer have said so far: OpenAI's chunks and their times."""

import json
from typing import Any

from hotfire import json_text
from hotfire.history import FailureClass
from hotfire.traffic.reader import Gaps, PythonGaps

DETAIL_LIMIT = 200
EVENT_LIMIT_BYTES = 262_144
"""An event longer than this is no chunk of tokens; a chunk with many logprobs has a few KB."""

Outcome = tuple[FailureClass | None, str]


class Transcript:
    """The tokens, counts and ends that the events of one answer told; stamps are monotonic."""

    __slots__ = (
        "broken", "done", "error", "finish_reason", "first_ns", "first_output_ns", "gaps",
        "n_first", "n_in", "n_out",
    )  # fmt: skip

    def __init__(self, gaps: Gaps | None = None) -> None:
        self.broken = ""
        self.done = False
        self.error = ""
        self.finish_reason: str | None = None
        self.first_ns: int | None = None
        self.first_output_ns: int | None = None
        self.gaps = PythonGaps() if gaps is None else gaps
        self.n_in: int | None = None
        self.n_out: int | None = None
        self.n_first = 1

    @property
    def last_ns(self) -> int | None:
        """Time of the last chunk with tokens in it."""
        return self.gaps.last_ns

    def take(self, data: str, now_ns: int, name: str = "message") -> dict[str, Any] | None:
        """Take one event of a stream; return its document if that is a chunk."""
        if data == "[DONE]":
            self.done = True
            return None
        if self.done or len(data) > EVENT_LIMIT_BYTES:
            what = "an event after [DONE]" if self.done else too_long(EVENT_LIMIT_BYTES)
            self.broken = self.broken or f"{what}: {data[:80]}"
            return None
        try:
            document = parsed(data)
            if name == "error":
                document = {"error": document.get("error") or document}
            self._on_chunk(document, now_ns)
        except UNEXPECTED as error:
            self.broken = self.broken or f"event is no chunk: {brief(error)} in {data[:80]}"
            return None
        return document

    def take_whole(self, body: bytes, now_ns: int) -> None:
        """Take an answer that is not streamed; its tokens have no times of their own."""
        try:
            document = parsed(body.decode(errors="replace"))
            if self._is_error(document):
                return
            for choice in document.get("choices") or ():
                message = choice.get("message") or {}
                if self.last_ns is None and (_has_output(message) or choice.get("text")):
                    self.gaps.note(now_ns)
                self._on_finish(choice.get("finish_reason"))
            self._on_usage(document.get("usage"))
        except UNEXPECTED as error:
            self.broken = f"body is no answer: {brief(error)}"

    def outcome(self, *, streamed: bool = True, instead: str = "") -> Outcome:
        """Return what kind of answer an ended one was; (None, "") for a complete one.

        ``instead`` shows the start of an answer that does not call itself an event stream.
        """
        chunks = len(self.gaps) + (self.first_ns is not None)
        silent = self.last_ns is None and self.finish_reason is None and not self.done
        for wrong, kind, detail in (
            (self.broken, FailureClass.MALFORMED, self.broken),
            (self.error, FailureClass.SSE_ERROR, self.error),
            (
                streamed and silent and instead,
                FailureClass.MALFORMED,
                f"expected an event stream, got {instead}",
            ),
            (
                streamed and not self.done,
                FailureClass.TRUNCATED_NO_DONE,
                f"ended after {chunks} chunks",
            ),
            (self.last_ns is None, FailureClass.MALFORMED, "no output"),
            (self.finish_reason is None, FailureClass.MALFORMED, "no finish_reason"),
        ):
            if wrong:
                return kind, detail[:DETAIL_LIMIT]
        return None, ""

    def output(self, now_ns: int, *, thinking: bool = False) -> None:
        """Note a chunk with tokens in it."""
        if self.first_ns is None:
            self.first_ns = now_ns
        if not thinking and self.first_output_ns is None:
            self.first_output_ns = now_ns
        self.gaps.note(now_ns)

    def _on_chunk(self, document: dict[str, Any], now_ns: int) -> None:
        if self._is_error(document):
            return
        before = self.first_ns
        for choice in document.get("choices") or ():
            self._on_choice(choice, now_ns)
        self._on_usage(document.get("usage"))
        if before is None and self.first_ns is not None and self.n_out:
            self.n_first = self.n_out

    def _is_error(self, document: dict[str, Any]) -> bool:
        wrong = bool(document.get("error")) or document.get("object") == "error"
        if wrong and not self.error:
            self.error = json.dumps(document.get("error") or document)[:DETAIL_LIMIT]
        return wrong

    def _on_choice(self, choice: dict[str, Any], now_ns: int) -> None:
        delta = choice.get("delta") or {}
        finish = choice.get("finish_reason")
        answer = delta.get("content") or delta.get("tool_calls") or choice.get("text")
        thought = delta.get("reasoning") or delta.get("reasoning_content")
        empty = delta.get("content") == "" or choice.get("text") == ""
        special = empty and "role" not in delta and not finish and not thought
        if answer or thought or special:
            self.output(now_ns, thinking=bool(thought) and not answer)
        self._on_finish(finish)

    def _on_finish(self, finish: object) -> None:
        self.finish_reason = str(finish)[:DETAIL_LIMIT] if finish else self.finish_reason

    def _on_usage(self, usage: dict[str, Any] | None) -> None:
        if usage:
            self.n_in = _count(usage.get("prompt_tokens"))
            self.n_out = _count(usage.get("completion_tokens"))


STATUS_CLASSES = {429: FailureClass.HTTP_429, 503: FailureClass.HTTP_503}


def refused(status: int, body: bytes) -> Outcome:
    """Return the class of a status that is not 2xx."""
    general = {3: FailureClass.MALFORMED, 4: FailureClass.HTTP_4XX, 5: FailureClass.HTTP_5XX}
    kind = STATUS_CLASSES.get(status) or general.get(status // 100, FailureClass.MALFORMED)
    return kind, f"{status}: {excerpt(body)}"[:DETAIL_LIMIT]


def excerpt(body: bytes) -> str:
    """Return the start of a body as text."""
    return body[:DETAIL_LIMIT].decode(errors="replace")


def foreign_coding(name: str, value: str) -> str:
    """Return what a header says the body is encoded as, beyond what was asked for."""
    ours = {"transfer-encoding": "chunked", "content-encoding": "identity"}
    return value.lower().replace(ours[name], "").strip(" ,") if name in ours else ""


def too_long(limit_bytes: int) -> str:
    """Return the words for an event that is more than a chunk of tokens."""
    return f"an event of more than {limit_bytes} bytes"


def not_asked_for(coding: str) -> str:
    """Return the words for an answer in such an encoding."""
    return f"encoded as {coding}, although identity was asked for"


# What json and a document of any other shape can raise; a defect of ours raises nothing else.
UNEXPECTED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


def parsed(text: str) -> dict[str, Any]:
    """Return a JSON object."""
    document = json_text.read(text)
    if not isinstance(document, dict):
        raise TypeError(f"{type(document).__name__} instead of an object")
    return document


def brief(error: BaseException) -> str:
    """Return an exception in one line."""
    return f"{type(error).__name__}: {error}"[:80]


def _has_output(message: dict[str, Any]) -> bool:
    names = ("content", "tool_calls", "reasoning", "reasoning_content")
    return any(message.get(name) for name in names)


def _count(value: object) -> int | None:
    """Return a number of tokens, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**31 else None
