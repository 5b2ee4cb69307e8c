"""Recorded traffic to replay: when, how much in, how much out, and which prompts begin alike."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from hotfire.errors import ProfileError

MOONCAKE_BLOCK_TOKENS = 512
"""Tokens that one of a Mooncake trace's hash ids stands for."""

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)?")


class TraceRow(NamedTuple):
    """One recorded request; ``hash_ids`` name the blocks of its prompt, equal ids equal text."""

    offset_ns: int
    input_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] = ()


def read_trace(path: Path) -> tuple[TraceRow, ...]:
    """Return a trace file's rows in order of time, which counts from the first.

    Two forms are known by their fields: Mooncake's JSON lines (``timestamp`` in milliseconds,
    ``input_length``, ``output_length``, ``hash_ids``) and Azure's CSV or JSON lines
    (``TIMESTAMP``, ``ContextTokens``, ``GeneratedTokens``).

    Raises:
        ProfileError: it cannot be read, a row has neither form, or there is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"trace: {path} cannot be read: {error}") from error
    rows = sorted(_parsed(path, _records(path, text)), key=lambda row: row.offset_ns)
    if not rows:
        raise ProfileError(f"trace: {path} has no row; expected one request per line")
    first = rows[0].offset_ns
    return tuple(row._replace(offset_ns=row.offset_ns - first) for row in rows)


def _records(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Return each line's number and fields."""
    if not text.lstrip().startswith("{"):
        yield from enumerate(csv.DictReader(io.StringIO(text)), start=2)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ProfileError(f"trace: {path}:{number} is not JSON: {error}") from error
            yield number, record if isinstance(record, dict) else {}


def _parsed(path: Path, records: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[TraceRow]:
    for number, record in records:
        try:
            row = _mooncake(record) if "timestamp" in record else _azure(record)
        except (KeyError, TypeError, ValueError) as error:
            raise ProfileError(
                f"trace: {path}:{number} has neither form: expected timestamp, input_length and"
                f" output_length, or TIMESTAMP, ContextTokens and GeneratedTokens; {error!r}"
            ) from error
        if row.input_tokens < 1 or row.output_tokens < 1:
            row = row._replace(
                input_tokens=max(1, row.input_tokens), output_tokens=max(1, row.output_tokens)
            )
        yield row


def _mooncake(record: Mapping[str, Any]) -> TraceRow:
    return TraceRow(
        offset_ns=round(float(record["timestamp"]) * 1_000_000),
        input_tokens=int(record["input_length"]),
        output_tokens=int(record["output_length"]),
        hash_ids=tuple(int(block) for block in record.get("hash_ids") or ()),
    )


def _azure(record: Mapping[str, Any]) -> TraceRow:
    return TraceRow(
        offset_ns=_timestamp_ns(str(record["TIMESTAMP"])),
        input_tokens=int(record["ContextTokens"]),
        output_tokens=int(record["GeneratedTokens"]),
    )


def _timestamp_ns(text: str) -> int:
    """Return nanoseconds of e.g. ``2023-11-16 18:17:03.9799600``: seven digits, often no zone."""
    parts = _TIMESTAMP.fullmatch(text.strip())
    if parts is None:
        raise ValueError(f"{text!r} is no time such as 2023-11-16 18:17:03.9799600")
    whole, fraction, zone = parts.groups()
    moment = datetime.fromisoformat(whole + (zone or "+00:00"))
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0")[:9])
