"""A history on disk: JSON lines as a load writes them, Parquet as it is kept."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from hotfire import json_text
from hotfire.errors import HistoryError
from hotfire.measure.history.request import Request
from hotfire.measure.history.rows import NAMES, from_row

_LONGEST_LINE: Final = 64 << 20
"""Characters of a row; a gap takes four, so this is more tokens than any answer has."""


def parse_lines(text: str) -> list[Request]:
    """Return the requests of JSON lines; a torn last line, as a crash leaves it, is left out.

    Raises:
        HistoryError: any other line is not a row.
    """
    return list(_parsed(io.StringIO(text)))


def _parsed(lines: Iterable[str]) -> Iterator[Request]:
    """Yield one request per line; only a last one without its newline may be torn."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json_text.read(line)
        except (ValueError, RecursionError) as error:
            if not line.endswith("\n"):
                return
            raise HistoryError(f"line {number} of the history is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise HistoryError(f"line {number} of the history is no JSON object: {line[:80]!r}")
        yield from_row(row)


def load(path: Path) -> list[Request]:
    """Return the requests of a JSONL or Parquet history, ordered by scheduled time.

    Raises:
        HistoryError: the file cannot be read or a row contradicts itself.
    """
    return in_order(stream(path))


def stream(path: Path) -> Iterator[Request]:
    """Yield the requests of a history in the order of the file, a few thousand in memory at once.

    Raises:
        HistoryError: the file cannot be read or a row contradicts itself.
    """
    try:
        if path.suffix == ".parquet":
            # Not at the top: the load process reads this module too and has no use for Arrow.
            from hotfire.measure.parquet import read  # noqa: PLC0415

            yield from map(from_row, read(path))
            return
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            yield from _parsed(iter(lambda: file.readline(_LONGEST_LINE), ""))
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise HistoryError(f"{path}: cannot be read: {error}") from error


def is_whole(path: Path) -> bool:
    """Return whether a Parquet history has its end; JSON lines are whole line by line."""
    if path.suffix != ".parquet":
        return True
    from hotfire.measure.parquet import is_whole as is_readable  # noqa: PLC0415 - as in stream

    return is_readable(path)


def in_order(requests: Iterable[Request]) -> list[Request]:
    """Return the requests ordered by scheduled time.

    Raises:
        HistoryError: a sequence number comes twice.
    """
    return sorted(once(requests), key=lambda request: (request.sched_ns, request.seq))


def once(requests: Iterable[Request]) -> Iterator[Request]:
    """Yield the requests as they come.

    Raises:
        HistoryError: a sequence number comes twice.
    """
    seen: set[int] = set()
    for request in requests:
        if request.seq in seen:
            raise HistoryError(f"request {request.seq} has two rows in the history")
        seen.add(request.seq)
        yield request


def count(path: Path) -> int:
    """Return the number of requests of a history, each of them read and checked.

    Raises:
        HistoryError: as ``load``.
    """
    return sum(1 for _ in once(stream(path)))


def to_parquet(jsonl: Path, parquet: Path) -> int:
    """Write a JSONL history as Parquet beside it, row by row; return the number of rows.

    Raises:
        HistoryError: the history cannot be read or the file cannot be written.
    """
    from hotfire.measure.parquet import write  # noqa: PLC0415 - as in stream

    return write(parquet, once(stream(jsonl)), NAMES)
