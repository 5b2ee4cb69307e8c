"""The fast path for plain tokens: events that equal a parsed one in all but their text."""

import re
from typing import Any

from hotfire.answer.transcript import UNEXPECTED, parsed

FIELDS = ("content", "text", "reasoning_content", "reasoning")
# What a JSON string may hold between its quotes, at least one character of it.
TEXT = re.compile(
    rb'(?!")[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*'
).match
HEADER_BYTES = 8
# Chunk sizes as servers write them; any other spelling is read the long way.
SIZES = {form % size: size for form in (b"%x", b"%X") for size in range(1, 4096)}


# Texts that were found to be no more than text; a vocabulary has some hundred thousand.
KNOWN: set[bytes] = set()
KNOWN_LIMIT = 100_000
KNOWN_BYTES = 32


def known(text: bytes) -> bool:
    """Return whether this may stand in a JSON string as it is, and remember it if so."""
    found = TEXT(text)
    if not text or found is None or found.end() != len(text):
        return False
    if len(text) <= KNOWN_BYTES and len(KNOWN) < KNOWN_LIMIT:
        KNOWN.add(text)
    return True


class Template:
    """What comes before and after the text in every plain token of one stream.

    It is made from an event that was parsed. With other text in its place, the
    event is the same document but for that text, so it need not be parsed again.
    """

    __slots__ = ("after", "before", "end", "end_bytes", "text_at", "thinking")

    def __init__(self, before: bytes, after: bytes, *, thinking: bool) -> None:
        self.before = b"data: " + before
        self.after = after + b"\n\n"
        self.thinking = thinking
        self.end = self.after + b"\r\n"
        self.text_at, self.end_bytes = len(self.before) + 2, len(self.end)

    def is_one(self, data: bytes) -> bool:
        """Return whether this is one chunk with one plain token: ``take`` in its commonest case."""
        line = data.find(b"\r\n", 1, HEADER_BYTES)
        if SIZES.get(data[:line]) != len(data) - line - 4:
            return False
        if not (data.startswith(self.before, line + 2) and data.endswith(self.end)):
            return False
        text = data[line + self.text_at : -self.end_bytes]
        return text in KNOWN or known(text)

    def fits(self, event: bytes) -> bool:
        """Return whether an event differs from the template in its text only."""
        return event.startswith(self.before[6:]) and event.endswith(self.after[:-2])

    def take(self, data: bytes) -> tuple[int, int]:
        """Return bytes and tokens of the whole chunks at the start that hold plain tokens only."""
        at = tokens = 0
        while at < len(data):
            line = data.find(b"\r\n", at, at + HEADER_BYTES)
            size = SIZES.get(data[at:line])
            if not size:
                break
            stop = line + 2 + size
            count = self._events(data, line + 2, stop)
            if not count or data[stop : stop + 2] != b"\r\n":
                break
            at = stop + 2
            tokens += count
        return at, tokens

    def _events(self, data: bytes, at: int, stop: int) -> int:
        """Return the number of events between two places; 0 if anything else is there."""
        before, after = self.before, self.after
        count = 0
        while at < stop:
            text = data.startswith(before, at) and TEXT(data, at + len(before))
            if not text or not data.startswith(after, text.end()):
                return 0
            at = text.end() + len(after)
            count += 1
        return count if at == stop else 0


def learn(event: str, document: dict[str, Any]) -> Template | None:
    """Return the template of a plain token; None for any other event."""
    try:
        (choice,) = document["choices"]
        if choice.get("finish_reason") or document.get("usage") or document.get("error"):
            return None
        holder = choice.get("delta") or choice
        if holder is not choice and choice.get("text"):
            return None
        (field,) = (name for name in FIELDS if holder.get(name))
        text = holder[field]
        return _proven(event, document, holder, field) if isinstance(text, str) else None
    except UNEXPECTED:
        return None


def _proven(
    event: str, document: dict[str, Any], holder: dict[str, Any], field: str
) -> Template | None:
    """Return the template if other text in its place changes that field alone."""
    text = holder[field]
    marked = (f'"{field}":"{text}"', f'"{field}": "{text}"')
    start = next((at + len(mark) for mark in marked if (at := event.find(mark)) >= 0), None)
    if start is None or holder.get("tool_calls"):
        return None
    before, after = event[: start - len(text) - 1], event[start - 1 :]
    other = text + "x"
    holder[field] = other
    same = parsed(before + other + after) == document
    holder[field] = text
    if not same or "\n" in event or "\r" in event:
        return None
    thinking = field.startswith("reasoning")
    return Template(before.encode(), after.encode(), thinking=thinking)
