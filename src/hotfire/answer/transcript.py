"""What one answer said: OpenAI's chunks and their times. Pure.

The one reader of answers: the load's clients, ``Endpoint`` and the schema check all hand it their
events, so that they cannot disagree on what an answer was.
"""

import json
from array import array
from typing import Any

from hotfire import json_text
from hotfire.answer.finish_reason import FINISHED
from hotfire.answer.gaps import Gaps, PythonGaps
from hotfire.measure.history import FailureClass

DETAIL_LIMIT = 200
NO_OUTPUT = "no output"
EVENT_LIMIT_BYTES = 262_144
"""An event longer than this is no chunk of tokens; a chunk with many logprobs has a few KB."""
CHOICES_LIMIT = 128
"""More than anybody may ask for; a peer could name a new one in every event."""
MODELS_LIMIT = 4
"""Names of models kept of one answer: one is right, and two are enough to tell."""

Outcome = tuple[FailureClass | None, str]


class Transcript:
    """The tokens, counts and ends that the events of one answer told; stamps are monotonic.

    What they come to once the answer has ended is ``token_clock``'s matter.
    """

    __slots__ = (
        "broken", "choices", "done", "empty_at", "error", "finish_ns", "finish_reason", "finishes",
        "first_ns", "first_output_ns", "first_text_ns", "gaps", "models", "n_first", "n_in",
        "n_out", "n_reasoning", "texts", "thought", "tools",
    )  # fmt: skip

    def __init__(self, gaps: Gaps | None = None, *, keep_text: bool = False) -> None:
        self.broken = ""
        self.done = False
        self.error = ""
        self.finish_reason: str | None = None
        """The first that is none of a whole answer; else the last."""
        self.first_ns: int | None = None
        self.first_output_ns: int | None = None
        self.first_text_ns: int | None = None
        """First chunk that is neither reasoning nor empty."""
        self.gaps = PythonGaps() if gaps is None else gaps
        self.n_in: int | None = None
        self.n_out: int | None = None
        self.n_first = 1
        self.n_reasoning = 0
        """Output tokens that ``usage`` says were reasoning."""
        self.thought = False
        """Whether any reasoning was streamed."""
        self.tools = False
        """Whether a chunk held tool calls, which parsers cut without regard to tokens."""
        self.choices: set[object] = set()
        """Indexes of the choices that had chunks of their own."""
        self.empty_at = array("i")
        """Places of the chunks without text among those with tokens, as far as one can tell."""
        self.finishes = 0
        """Chunks that told a finish reason and no text: the end token may be in one."""
        self.finish_ns: int | None = None
        """When the last of those came."""
        self.models: set[str] = set()
        self.texts: list[str] | None = [] if keep_text else None

    @property
    def last_ns(self) -> int | None:
        """Time of the last chunk with tokens in it."""
        return self.gaps.last_ns

    @property
    def text(self) -> str:
        """The first choice's text, if it was to be kept."""
        return "".join(self.texts or ())

    def take(self, data: str, now_ns: int, name: str = "message") -> dict[str, Any] | None:
        """Take one event of a stream; return its document if that is a chunk."""
        if data == "[DONE]":
            self.done = True
            return None
        if self.done or exceeds(data, EVENT_LIMIT_BYTES):
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
            self._on_whole(parsed(body.decode(errors="replace")), now_ns)
        except UNEXPECTED as error:
            self.broken = f"body is no answer: {brief(error)}"

    def _on_whole(self, document: dict[str, Any], now_ns: int) -> None:
        if self._is_error(document):
            return
        self._on_model(document)
        for choice in document.get("choices") or ():
            message = choice.get("message") or {}
            if self.last_ns is None and (_has_output(message) or choice.get("text")):
                self.gaps.note(now_ns)
            self._keep(choice, message)
            self._on_finish(choice.get("finish_reason"))
            if len(self.choices) < CHOICES_LIMIT:
                self.choices.add(choice.get("index") or 0)
        self._on_usage(document.get("usage"))

    def outcome(
        self, *, streamed: bool = True, content_type: str = "", start: bytes = b""
    ) -> Outcome:
        """Return what kind of answer an ended one was; (None, "") for a complete one.

        ``content_type`` and ``start`` of the body tell what came instead of a stream, if none did.
        """
        chunks = len(self.gaps) + (self.first_ns is not None)
        silent = self.last_ns is None and self.finish_reason is None and not self.done
        foreign = bool(content_type) and "event-stream" not in content_type
        for wrong, kind, detail in (
            (self.broken, FailureClass.MALFORMED, self.broken),
            (self.error, FailureClass.SSE_ERROR, self.error),
            (
                streamed and silent and foreign,
                FailureClass.MALFORMED,
                f"expected an event stream, got {content_type}: {excerpt(start)}",
            ),
            (
                self.finish_reason is not None and self.finish_reason not in FINISHED,
                FailureClass.ABORTED,
                f"finish_reason {self.finish_reason} after {chunks} chunks",
            ),
            (
                streamed and not self.done,
                FailureClass.TRUNCATED_NO_DONE,
                f"ended after {chunks} chunks",
            ),
            (self.last_ns is None, FailureClass.MALFORMED, NO_OUTPUT),
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
        self._on_model(document)
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

    def _on_model(self, document: dict[str, Any]) -> None:
        name = document.get("model")
        if isinstance(name, str) and len(self.models) < MODELS_LIMIT:
            self.models.add(name[:DETAIL_LIMIT])

    def _on_choice(self, choice: dict[str, Any], now_ns: int) -> None:
        delta = choice.get("delta") or {}
        finish = choice.get("finish_reason")
        text = delta.get("content") or choice.get("text")
        thought = delta.get("reasoning") or delta.get("reasoning_content")
        tools = delta.get("tool_calls")
        empty = delta.get("content") == "" or choice.get("text") == ""
        special = empty and "role" not in delta and not finish
        if text or tools or thought:
            self._on_output(now_ns, text=bool(text or tools), thought=bool(thought))
            self.tools = self.tools or bool(tools)
            if len(self.choices) < CHOICES_LIMIT:
                self.choices.add(choice.get("index") or 0)
            self._keep(choice, delta)
        elif special:
            self.output(now_ns)
            self.empty_at.append(len(self.gaps))
        elif finish:
            self.finishes += 1
            self.finish_ns = now_ns
        self._on_finish(finish)

    def _on_output(self, now_ns: int, *, text: bool, thought: bool) -> None:
        self.output(now_ns, thinking=thought and not text)
        self.thought = self.thought or thought
        if text and self.first_text_ns is None:
            self.first_text_ns = now_ns

    def _keep(self, choice: dict[str, Any], holder: dict[str, Any]) -> None:
        """Keep the text of the first choice, if wanted."""
        if self.texts is not None and not choice.get("index"):
            text = holder.get("content") or choice.get("text")
            self.texts += [text] if isinstance(text, str) else []

    def _on_finish(self, finish: object) -> None:
        given_up = self.finish_reason is not None and self.finish_reason not in FINISHED
        if finish and not given_up:
            self.finish_reason = str(finish)[:DETAIL_LIMIT]

    def _on_usage(self, usage: dict[str, Any] | None) -> None:
        """Take the counts that are told; what a later usage leaves out stands."""
        if not usage:
            return
        n_in, n_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        self.n_in = self.n_in if n_in is None else n_in
        self.n_out = self.n_out if n_out is None else n_out
        # SGLang tells them beside the others, OpenAI and vLLM among the details.
        for told in (usage, usage.get("completion_tokens_details")):
            count = _count(told.get("reasoning_tokens")) if isinstance(told, dict) else None
            self.n_reasoning = self.n_reasoning if count is None else count


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


def exceeds(text: str, limit_bytes: int) -> bool:
    """Return whether a text is longer than that in UTF-8."""
    # Most are far below it, and need not be encoded to know.
    return 4 * len(text) > limit_bytes and len(text.encode(errors="replace")) > limit_bytes


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
    """Return a number of tokens, None for anything else; some gateways write it as 3.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < 2**31 and value == int(value) else None
