"""Prompts of a load: where they come from, how long they are, and whose they are."""

import hashlib
import json
import math
from pathlib import Path
from struct import Struct
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hotfire import json_text, text_files
from hotfire.errors import ProfileError
from hotfire.reference import Headers

Count = Annotated[int, Field(gt=0)]


class Spec(BaseModel):
    """A part of the plan: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lengths(Spec):
    """How long something is, drawn anew for each request."""

    distribution: Literal["constant", "uniform", "lognormal", "trace"] = "constant"
    """``trace`` draws from the lengths of the plan's trace; a replayed trace needs no Lengths."""
    typical: Count = 32
    """The constant, or the median of the lognormal distribution."""
    spread: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Standard deviation of the logarithm; 0.5 puts 95 % within a factor of 2.7."""
    least: Count = 1
    """Lower end, both of the uniform distribution and of what the others may yield."""
    most: Count = 32_768
    """Upper end of the same."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}; swap them")
        return self

    def draw(self, chance: float, other: float) -> int:
        """Return the length that two uniform variates in [0, 1) stand for."""
        if self.distribution == "uniform":
            return self.least + int(chance * (self.most - self.least + 1))
        length = float(self.typical)
        if self.distribution == "lognormal":
            normal = math.sqrt(-2 * math.log(1.0 - chance)) * math.cos(2 * math.pi * other)
            length *= math.exp(self.spread * normal)
        return min(max(round(length), self.least), self.most)


class Prompts(Spec):
    """Where the prompts come from."""

    source: Literal["words", "texts", "echo"] = "words"
    """Random words; texts of the operator, in turn; or a nonce to repeat, whose answer is known."""
    texts: tuple[str, ...] = ()
    """Texts in turn; a file's are filled in when the load starts, so that the plan keeps them."""
    file: Path | None = None
    """Texts instead, one per line, in UTF-8; a line that is an object gives its ``prompt``."""
    prefix_ratio: float = Field(default=0.0, ge=0, le=1)
    """Part of the words that a prompt shares with the others of its group."""
    prefix_groups: Count = 1
    """Number of different shared prefixes."""
    turns: Count = 1
    """Requests of one conversation; each contains the former turns with made-up answers."""
    conversations: Count = 8
    """Conversations under way at a time: their turns alternate, so a user thinks for as many
    arrivals."""
    json_schema: dict[str, Any] | None = None
    """The answer has to match this schema (``response_format``)."""

    def read(self) -> Self:
        """Return the same with the file's texts in it.

        Raises:
            ProfileError: the file cannot be read or holds no text.
        """
        if self.file is None:
            return self
        try:
            text = text_files.read(self.file)
        except (OSError, ValueError) as error:
            raise ProfileError(f"prompts.file: {self.file} cannot be read: {error}") from error
        if _is_json_list(text):
            raise ProfileError(f"prompts.file: {self.file} is one JSON list; {_ONE_EACH}")
        texts = tuple(_text(self.file, number, line) for number, line in text_files.lines(text))
        if not texts:
            raise ProfileError(f"prompts.file: {self.file} is empty; give one prompt per line")
        return self.model_copy(update={"source": "texts", "texts": texts, "file": None})


_ONE_EACH = (
    'write one object with the field prompt per line, {"prompt": "..."}; for a ShareGPT file: jq -c'
    " '.[] | {prompt: .conversations[0].value}'"
)


def _is_json_list(text: str) -> bool:
    """Return whether a whole file is one list, on however many lines."""
    if not text.lstrip().startswith("["):
        return False
    try:
        return isinstance(json_text.read(text), list)
    except (ValueError, RecursionError):
        return False


def _text(path: Path, number: int, line: str) -> str:
    """Return the prompt of one line: the line itself, or the field of its object."""
    start = line.lstrip()
    if not start.startswith(("{", "[{", '["')):
        return line
    where = f"prompts.file: {path}:{number}"
    try:
        found = json_text.read(line)
    except (ValueError, RecursionError) as error:
        quoted = json.dumps({"prompt": start[:20]}, ensure_ascii=False)
        raise ProfileError(
            f"{where} is not JSON: {error}; a text that begins so is written {quoted[:-2]}..."
        ) from error
    prompt = found.get("prompt") if isinstance(found, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        seen = f"{line[:80]!r}" if prompt is None else f"the prompt {prompt!r:.80}"
        raise ProfileError(f"{where}: expected an object with the field prompt, a text, not {seen}")
    return _encodable(where, prompt)


def _encodable(where: str, prompt: str) -> str:
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise ProfileError(f"{where}: the prompt holds half a surrogate pair: {error}") from error
    return prompt


class Tenant(Spec):
    """One of those who share the platform."""

    name: str = Field(min_length=1)
    """Written to the history's rows."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Its part of the requests, relative to the others' weights."""
    headers: Headers = {}
    """Added to its requests; a secret only by reference, as in the plan's own headers."""
    model: str | None = None
    """Model it asks for; default: the plan's."""


class Draws(NamedTuple):
    """What chance decides about one request; the numbers are uniform in [0, 1)."""

    nonce: str
    words: float
    input_length: float
    input_other: float
    output_length: float
    output_other: float
    tenant: float
    group: float


_NUMBERS = Struct("<7Q")
_DIGEST_BYTES = _NUMBERS.size + 6
_UNIT = 2.0**-53


def draws(key: str) -> Draws:
    """Return the chance of one key; one hash costs a tenth of seeding a generator."""
    digest = hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()
    numbers = _NUMBERS.unpack_from(digest)
    return Draws(digest[-6:].hex(), *[(number >> 11) * _UNIT for number in numbers])
