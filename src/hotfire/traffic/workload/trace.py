"""Recorded traffic to replay: when, how much in, how much out, and which prompts begin alike."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from hotfire import json_text, text_files
from hotfire.errors import ProfileError

Unit: TypeAlias = Literal["s", "ms"]

MOONCAKE_BLOCK_TOKENS: Final = 512
"""Tokens that one of a Mooncake trace's hash ids stands for."""
BAILIAN_BLOCK_TOKENS: Final = 16
"""Tokens that one of a Qwen-Bailian trace's stands for."""
_BLOCK_TOKENS: Final = tuple(2**power for power in range(13))
"""Sizes of a block that caches have; vLLM's are 16 to 128, stores' up to 4096."""
_NANO: Final = {"s": 1_000_000_000, "ms": 1_000_000}
_BAILIAN: Final = {"chat_id", "parent_chat_id"}
"""Fields that only Qwen-Bailian's usage traces have beside those of Mooncake."""
_TIMESTAMP: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?"
)
_FORMS: Final = (
    "expected timestamp, input_length and output_length, or TIMESTAMP, ContextTokens and"
    " GeneratedTokens"
)


class TraceRow(NamedTuple):
    """One recorded request; ``hash_ids`` name the blocks of its prompt, equal ids equal text."""

    offset_ns: int
    input_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] = ()


class Trace(NamedTuple):
    """A file understood: rows in order of time, which counts from the first."""

    rows: tuple[TraceRow, ...]
    block_tokens: int
    """Tokens that a hash id stands for; Mooncake's size where no row has one."""


class _Line(NamedTuple):
    number: int
    fields: Mapping[str, Any]


def read_trace(path: Path, *, unit: Unit | None = None, block_tokens: int | None = None) -> Trace:
    """Return what a trace file holds.

    Three forms are known by their fields: Mooncake's JSON lines (``timestamp`` in milliseconds,
    ``input_length``, ``output_length``, ``hash_ids`` of 512 tokens), Qwen-Bailian's (the same with
    ``chat_id``; seconds, 16 tokens) and Azure's CSV or JSON lines (``TIMESTAMP``,
    ``ContextTokens``, ``GeneratedTokens``).

    Args:
        path: The file.
        unit: Of numeric time stamps; None: as its form has it.
        block_tokens: Of a hash id; None: the size that every row's length agrees with.

    Raises:
        ProfileError: it cannot be read, a row has no known form, there is none, or unit or block
            size cannot be told; the message says what to write.
    """
    try:
        lines = list(_lines(path, text_files.read(path)))
    except (OSError, ValueError) as error:
        raise ProfileError(f"trace: {path} cannot be read: {error}") from error
    if not lines:
        raise ProfileError(f"trace: {path} has no row; expected one request per line")
    bailian = any(_BAILIAN & line.fields.keys() for line in lines)
    unit = unit or _unit(path, lines, bailian=bailian)
    rows = [_row(path, line, unit) for line in lines]
    usual = BAILIAN_BLOCK_TOKENS if bailian else MOONCAKE_BLOCK_TOKENS
    size = _block_tokens(path, lines, rows, asked=block_tokens, usual=usual)
    rows.sort(key=lambda row: row.offset_ns)
    first = rows[0].offset_ns
    return Trace(tuple(row._replace(offset_ns=row.offset_ns - first) for row in rows), size)


def _lines(path: Path, text: str) -> Iterator[_Line]:
    """Yield each line's number and fields."""
    start = text.lstrip()[:1]
    if start == "[":
        raise ValueError("it begins with a list; write one JSON object per line, e.g. jq -c '.[]'")
    if start == "{":
        for number, line in text_files.lines(text):
            yield _Line(number, _object(path, number, line))
        return
    reader = csv.DictReader(io.StringIO(text))
    try:
        for row in reader:
            yield _Line(reader.line_num, row)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV: {error}") from error


def _object(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        found = json_text.read(line)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"trace: {path}:{number} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ProfileError(f"trace: {path}:{number} is no JSON object; {_FORMS}")
    return found


def _unit(path: Path, lines: list[_Line], *, bailian: bool) -> Unit:
    """Return the unit of the form; Mooncake's milliseconds are whole."""
    if bailian:
        return "s"
    for number, fields in lines:
        stamp = fields.get("timestamp")
        if _has_fraction(stamp):
            raise ProfileError(
                f"trace: {path}:{number}: timestamp {stamp} has a fraction: seconds or"
                " milliseconds? Say which: --trace-unit s or ms (trace_unit in a plan)"
            )
    return "ms"


def _has_fraction(stamp: object) -> bool:
    """Return whether a number, of JSON or of a cell, is not whole; what is none is told later."""
    try:
        return isinstance(stamp, float | str) and float(stamp) % 1 > 0
    except ValueError:
        return False


def _row(path: Path, line: _Line, unit: Unit) -> TraceRow:
    try:
        if "timestamp" in line.fields:
            return _numbered(line.fields, unit)
        return _azure(line.fields)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        missing = isinstance(error, KeyError)
        why = f"no field {error}" if missing else str(error)
        raise ProfileError(
            f"trace: {path}:{line.number} has no known form: {why}; {_FORMS}"
        ) from error


def _numbered(fields: Mapping[str, Any], unit: Unit) -> TraceRow:
    ids = fields.get("hash_ids")
    if ids is not None and not isinstance(ids, list):
        raise ValueError(f"hash_ids is {_shown(ids)}, expected a list of numbers")
    return TraceRow(
        offset_ns=round(_number(fields, "timestamp") * _NANO[unit]),
        input_tokens=_tokens(fields, "input_length"),
        output_tokens=_tokens(fields, "output_length"),
        hash_ids=tuple(_whole({"hash_ids": one}, "hash_ids") for one in ids or ()),
    )


def _azure(fields: Mapping[str, Any]) -> TraceRow:
    return TraceRow(
        offset_ns=_timestamp_ns(fields["TIMESTAMP"]),
        input_tokens=_tokens(fields, "ContextTokens"),
        output_tokens=_tokens(fields, "GeneratedTokens"),
    )


def _number(fields: Mapping[str, Any], name: str) -> float:
    """Return a number, of JSON or of a cell."""
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{name} is {_shown(value)}, expected a number")  # noqa: TRY004 - data
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {_shown(value)}, expected a number")
    return number


def _whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(fields, name)
    if not number.is_integer():
        raise ValueError(f"{name} is {_shown(value)}, expected a whole number")
    return int(number)


def _tokens(fields: Mapping[str, Any], name: str) -> int:
    """Return a length; recorded requests of none are replayed with one token."""
    count = _whole(fields, name)
    if count < 0:
        raise ValueError(f"{name} is {count}, expected a length")
    return max(1, count)


def _shown(value: object) -> str:
    return repr(value)[:40]


def _block_tokens(
    path: Path, lines: list[_Line], rows: list[TraceRow], *, asked: int | None, usual: int
) -> int:
    """Return the size of a block with which each row's length and number of blocks agree."""
    sizes = [asked] if asked else [usual, *(size for size in _BLOCK_TOKENS if size != usual)]
    for line, row in zip(lines, rows, strict=True):
        if not row.hash_ids:
            continue
        fitting = [size for size in sizes if _blocks(row.input_tokens, size) == len(row.hash_ids)]
        if not fitting:
            raise ProfileError(_disagreement(path, line.number, row, sizes))
        sizes = fitting
    if len(sizes) > 1 and usual not in sizes:
        raise ProfileError(
            f"trace: {path}: blocks of {' or '.join(map(str, sizes))} tokens would agree with its"
            " lengths; say which: --trace-block TOKENS (trace_block_tokens in a plan)"
        )
    return sizes[0]


def _blocks(tokens: int, size: int) -> int:
    """Return how many blocks hold so many tokens; the last may be shorter."""
    return -(-tokens // size)


def _disagreement(path: Path, number: int, row: TraceRow, sizes: list[int]) -> str:
    size = f"of {sizes[0]} tokens" if len(sizes) == 1 else "of any usual size"
    return (
        f"trace: {path}:{number}: {len(row.hash_ids)} hash_ids for {row.input_tokens} input tokens"
        f" are not blocks {size}; say how long a block is (--trace-block TOKENS, trace_block_tokens"
        " in a plan), or leave hash_ids out, and nothing is shared"
    )


def _timestamp_ns(text: object) -> int:
    """Return nanoseconds of e.g. ``2023-11-16 18:17:03.9799600``: seven digits, often no zone."""
    parts = _TIMESTAMP.fullmatch(text.strip()) if isinstance(text, str) else None
    if parts is None:
        raise ValueError(f"{_shown(text)} is no time such as 2023-11-16 18:17:03.9799600")
    whole, fraction, zone = parts.groups()
    moment = datetime.fromisoformat(whole + (zone or "+00:00"))
    return int(moment.timestamp()) * _NANO["s"] + int((fraction or "").ljust(9, "0")[:9])
