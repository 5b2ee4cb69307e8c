"""What an OpenAI-compatible answer must look like; every deviation in one sentence. Pure.

Source: https://platform.openai.com/docs/api-reference, the fields its clients read.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hotfire.answer.finish_reason import FINISHED
from hotfire.answer.token_clock import Asked, deviations
from hotfire.answer.transcript import NO_OUTPUT, Transcript

DONE = "[DONE]"


def _finished(reason: str) -> str:
    if reason not in FINISHED:
        raise ValueError(f"expected one of {', '.join(sorted(FINISHED))}, got {reason[:40]!r}")
    return reason


Finished = Annotated[str, AfterValidator(_finished)]
"""Why a whole answer ended; one that the engine gave up is none."""


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
    finish_reason: Finished


class TextChoice(Lenient):
    index: int
    text: str
    finish_reason: Finished


class AnswerObject(Lenient):
    id: str = Field(min_length=1)
    created: int = Field(gt=0)
    model: str = Field(min_length=1)
    usage: Usage


class Chat(AnswerObject):
    object: Literal["chat.completion"]
    choices: list[ChatChoice] = Field(min_length=1)


class Completion(AnswerObject):
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
    finish_reason: Finished | None = None


class Chunk(Lenient):
    id: str = Field(min_length=1)
    object: Literal["chat.completion.chunk", "text_completion"]
    model: str = Field(min_length=1)
    choices: list[ChunkChoice]
    usage: Usage | None = None


def problems(
    schema: type[BaseModel], document: Mapping[str, Any] | None, *, asked: Asked | None = None
) -> list[str]:
    """Return how a JSON answer departs from its schema, or from what was asked; empty: not."""
    if document is None:
        return ["the body is no JSON object"]
    try:
        answer = schema.model_validate(dict(document))
    except ValidationError as error:
        return [f"{_path(each['loc'])}: {each['msg']}" for each in error.errors()]
    said = Transcript()
    said.take_whole(json.dumps(document).encode(), 0)
    usage = getattr(answer, "usage", None)
    found = _usage_problems(usage) if isinstance(usage, Usage) else []
    return found + _contradictions(said, asked)


def stream_problems(events: Iterable[str], *, asked: Asked) -> list[str]:
    """Return how a stream with usage departs from what clients rely on; empty: it does not.

    What is no complete stream to a load is none here: the same reader says so. One that ends before
    its first word has nothing to measure, but lacks nothing.
    """
    said, rows = Transcript(), list(events)
    for row in rows:
        said.take(row, 0)
    kind, detail = said.outcome()
    empty = detail == NO_OUTPUT and said.finish_reason is not None
    found = [f"{kind}: {detail}"] if kind and not empty else []
    chunks, broken = _chunks(row for row in rows if row != DONE)
    return found + broken + _whole_stream_problems(chunks) + _contradictions(said, asked)


def _contradictions(said: Transcript, asked: Asked | None) -> list[str]:
    return [words for _, words in deviations(said, asked)] if asked else []


def _chunks(rows: Iterable[str]) -> tuple[list[Chunk], list[str]]:
    chunks: list[Chunk] = []
    broken: list[str] = []
    for document in _documents(rows):
        try:
            chunks.append(Chunk.model_validate(document))
        except ValidationError as error:
            broken += [f"chunk {_path(each['loc'])}: {each['msg']}" for each in error.errors()]
    return chunks, broken


def _documents(rows: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the chunks; what is none, or an error, the transcript tells of."""
    for row in rows:
        try:
            document = json.loads(row)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and not document.get("error"):
            yield document


def _whole_stream_problems(chunks: list[Chunk]) -> list[str]:
    found = []
    if len({chunk.id for chunk in chunks}) > 1:
        found.append("the chunks carry different ids")
    ends = Counter(c.index for chunk in chunks for c in chunk.choices if c.finish_reason)
    found += [f"{n} finish reasons, expected one" for n in ends.values() if n > 1]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    if not usages:
        return [*found, "no usage, though stream_options asked for it"]
    return found + _usage_problems(usages[-1])


def _usage_problems(usage: Usage) -> list[str]:
    together = usage.prompt_tokens + usage.completion_tokens
    if usage.total_tokens != together:
        return [f"usage.total_tokens is {usage.total_tokens}, the parts add up to {together}"]
    return []


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "answer"
