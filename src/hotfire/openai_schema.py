"""What an OpenAI-compatible answer must look like; every deviation in one sentence. Pure.

Source: https://platform.openai.com/docs/api-reference, the fields its clients read.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DONE = "[DONE]"
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Lenient(BaseModel):
    """Engines add fields of their own; those the clients read must be right."""

    model_config = ConfigDict(extra="ignore", strict=True)


class Usage(Lenient):
    prompt_tokens: int = Field(ge=1)
    completion_tokens: int = Field(ge=0)
    total_tokens: int


class Message(Lenient):
    role: Literal["assistant"]
    content: str | None


class ChatChoice(Lenient):
    index: int
    message: Message
    finish_reason: FinishReason


class TextChoice(Lenient):
    index: int
    text: str
    finish_reason: FinishReason


class Answer(Lenient):
    id: str = Field(min_length=1)
    created: int = Field(gt=0)
    model: str = Field(min_length=1)
    usage: Usage


class Chat(Answer):
    object: Literal["chat.completion"]
    choices: list[ChatChoice] = Field(min_length=1)


class Completion(Answer):
    object: Literal["text_completion"]
    choices: list[TextChoice] = Field(min_length=1)


class Model(Lenient):
    id: str = Field(min_length=1)
    object: Literal["model"]


class Models(Lenient):
    object: Literal["list"]
    data: list[Model] = Field(min_length=1)


class Delta(Lenient):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Lenient):
    index: int
    delta: Delta | None = None
    text: str | None = None
    finish_reason: FinishReason | None = None


class Chunk(Lenient):
    id: str = Field(min_length=1)
    object: Literal["chat.completion.chunk", "text_completion"]
    model: str = Field(min_length=1)
    choices: list[ChunkChoice]
    usage: Usage | None = None


def problems(schema: type[BaseModel], document: Mapping[str, Any] | None) -> list[str]:
    """Return how a JSON answer departs from its schema; empty: it does not."""
    if document is None:
        return ["the body is no JSON object"]
    try:
        answer = schema.model_validate(dict(document))
    except ValidationError as error:
        return [f"{_path(each['loc'])}: {each['msg']}" for each in error.errors()]
    usage = getattr(answer, "usage", None)
    return _usage_problems(usage) if isinstance(usage, Usage) else []


def stream_problems(events: Iterable[str], *, max_tokens: int) -> list[str]:
    """Return how a stream with usage departs from what clients rely on; empty: it does not."""
    rows = list(events)
    if not rows:
        return ["the stream has no events"]
    found = [] if rows[-1] == DONE else [f"the last event is {rows[-1][:60]!r}, not {DONE}"]
    chunks, broken = _chunks(row for row in rows if row != DONE)
    return found + broken + _whole_stream_problems(chunks, max_tokens)


def _chunks(rows: Iterable[str]) -> tuple[list[Chunk], list[str]]:
    chunks: list[Chunk] = []
    broken: list[str] = []
    for row in rows:
        try:
            document = json.loads(row)
        except (ValueError, RecursionError):
            broken.append(f"an event is not JSON: {row[:60]!r}")
            continue
        if not isinstance(document, dict):
            broken.append(f"an event is no JSON object: {row[:60]!r}")
            continue
        if "error" in document:
            broken.append(f"an error object inside a successful stream: {row[:120]}")
            continue
        try:
            chunks.append(Chunk.model_validate(document))
        except ValidationError as error:
            broken += [f"chunk {_path(each['loc'])}: {each['msg']}" for each in error.errors()]
    return chunks, broken


def _whole_stream_problems(chunks: list[Chunk], max_tokens: int) -> list[str]:
    found = []
    if len({chunk.id for chunk in chunks}) > 1:
        found.append("the chunks carry different ids")
    reasons = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    if len(reasons) != 1:
        found.append(f"{len(reasons)} finish reasons, expected one")
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    if not usages:
        return [*found, "no usage, though stream_options asked for it"]
    tokens = usages[-1].completion_tokens
    if not 0 < tokens <= max_tokens:
        found.append(f"usage counts {tokens} output tokens of at most {max_tokens}")
    return found + _usage_problems(usages[-1])


def _usage_problems(usage: Usage) -> list[str]:
    together = usage.prompt_tokens + usage.completion_tokens
    if usage.total_tokens != together:
        return [f"usage.total_tokens is {usage.total_tokens}, the parts add up to {together}"]
    return []


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "answer"
