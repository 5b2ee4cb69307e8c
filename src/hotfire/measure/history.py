"""The recorded history of a load: one row per scheduled request, and how to read it back."""

import io
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from hotfire import json_text
from hotfire.errors import HistoryError

_LONGEST_GAP_US: Final = 2**31 - 1
CONTRADICTED: Final = "contradicted"


class FailureClass(StrEnum):
    """Why a request is not complete; exactly one per request."""

    CONNECT = "connect"
    """No connection: refused, unreachable, or not within connect_seconds."""
    TLS = "tls"
    """The TLS handshake failed, or what came later was no TLS; ``headers_ns`` tells them apart."""
    STALE_KEEPALIVE = "stale_keepalive"
    """A reused connection turned out closed within a second of sending, without one byte back."""
    HTTP_4XX = "http_4xx"
    HTTP_429 = "http_429"
    HTTP_5XX = "http_5xx"
    HTTP_503 = "http_503"
    HEADER_TIMEOUT = "header_timeout"
    """No response headers within ttft_seconds."""
    TTFT_TIMEOUT = "ttft_timeout"
    """Headers, but no first token within ttft_seconds."""
    STALL_TIMEOUT = "stall_timeout"
    """No output for stall_seconds after the first token."""
    SSE_ERROR = "sse_error"
    """An error object inside a 2xx stream."""
    TRUNCATED_NO_DONE = "truncated_no_done"
    """A clean end of the body without ``[DONE]``."""
    RESET_MIDSTREAM = "reset_midstream"
    """RST after the request was sent; ``headers_ns`` tells whether the answer had begun."""
    FIN_MIDSTREAM = "fin_midstream"
    """FIN before the answer ended; ``headers_ns`` tells whether the answer had begun."""
    DEADLINE = "deadline"
    """Not ended within deadline_seconds of the scheduled arrival."""
    MALFORMED = "malformed"
    """A 2xx answer that is no complete stream: not JSON, no output, no finish_reason, not HTTP."""
    ABORTED = "aborted"
    """The engine gave it up: finish_reason ``abort``, ``error``, or one that no client knows."""
    NOT_SENT = "not sent: client cap"
    """The load generator's own limit on requests in flight: never the target's failure."""


# Classes that cut an answer after its headers, where a 2xx had promised one. The user lost the
# stream; an integrity checker must treat its outcome as unknown.
STREAM_CUTS = frozenset(
    {
        FailureClass.SSE_ERROR,
        FailureClass.TRUNCATED_NO_DONE,
        FailureClass.RESET_MIDSTREAM,
        FailureClass.FIN_MIDSTREAM,
        FailureClass.STALL_TIMEOUT,
        FailureClass.TTFT_TIMEOUT,
        FailureClass.DEADLINE,
        FailureClass.TLS,
        FailureClass.MALFORMED,
        FailureClass.ABORTED,
    }
)
# Answers of these classes may be wrong from the start; then no stream had begun.
_NEVER_BEGUN: Final = frozenset({FailureClass.MALFORMED, FailureClass.ABORTED})


class Deviation(StrEnum):
    """Where a target's word contradicts what was seen or asked for; no failure of the answer."""

    USAGE_BELOW_STREAM = "usage_below_stream"
    """Fewer ``completion_tokens`` than chunks with text came, each of which holds one at least."""
    USAGE_ABOVE_LIMIT = "usage_above_limit"
    """More ``completion_tokens`` than were asked for, hidden reasoning left out."""
    OTHER_MODEL = "other_model"
    """Another model's name than the one asked for."""


_DEVIATIONS: Final = frozenset(Deviation)
USAGE_DOUBTS = frozenset({Deviation.USAGE_BELOW_STREAM, Deviation.USAGE_ABOVE_LIMIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One scheduled request. Stamps ``*_ns`` are epoch nanoseconds; None: it did not come so far.

    ``connect_ns`` is a duration: the wait for a new connection, None on a reused one. ``gaps_us``
    are the pauses between output chunks in microseconds, as many as chunks less one; they are kept
    as 32-bit numbers, since a history may hold ten million of them.
    """

    seq: int
    sched_ns: int
    send_ns: int | None = None
    headers_ns: int | None = None
    first_ns: int | None = None
    """First token of any kind, reasoning included."""
    first_output_ns: int | None = None
    """First token that is not reasoning."""
    last_ns: int | None = None
    """Last token."""
    end_ns: int | None = None
    """End of the transport, or the moment it was given up."""
    n_in: int | None = None
    n_out: int | None = None
    """``usage.completion_tokens``; None: the target did not say, and it is never guessed."""
    n_first: int = 1
    """Tokens among ``n_out`` that the time from first to last token does not cover: those of the
    first chunk, hidden reasoning before it, all choices but one that are made side by side, and
    everything that came at once."""
    token_source: str = "chunks"  # noqa: S105 - tokens of a language model
    """``usage``; ``chunks`` if there is none; ``contradicted`` where the stream belies it."""
    finish_reason: str | None = None
    status: int | None = None
    error_class: FailureClass | None = None
    detail: str = ""
    """What the failure looked like, at most 200 characters."""
    deviation: str = ""
    """Where the target's word contradicts the answer: ``kind: words``, joined by "; "."""
    served_by: str | None = None
    prompt_id: int = 0
    phase: str = "steady"
    tenant: str = ""
    """Who sent it, where the plan names tenants."""
    worker: int = 0
    conn_reused: bool = False
    connect_ns: int | None = None
    gaps_us: Sequence[int] = ()
    censored: bool = False
    """Ended by us before its outcome was known."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gaps_us", _packed(self.gaps_us))

    @property
    def complete(self) -> bool:
        """Whether the user got the whole answer."""
        return self.error_class is None and not self.censored

    @property
    def sent(self) -> bool:
        """Whether it counts against the target: scheduled, and not held back by the client."""
        return self.error_class is not FailureClass.NOT_SENT

    @property
    def failed(self) -> bool:
        """Whether the target owes the user an answer."""
        return self.error_class is not None and self.sent

    @property
    def accepted(self) -> bool:
        """Whether the target promised an answer: headers with a status of success."""
        return self.headers_ns is not None and self.status is not None and self.status < 300

    @property
    def stream_lost(self) -> bool:
        """Whether an accepted answer was cut. What is wrong from the start never was one."""
        begun = self.first_ns is not None or self.error_class not in _NEVER_BEGUN
        return self.accepted and begun and self.error_class in STREAM_CUTS

    @property
    def deviations(self) -> dict[Deviation, str]:
        """What contradicts what, by its kind."""
        if not self.deviation:
            return {}
        told = [part.partition(": ") for part in self.deviation.split("; ")]
        return {Deviation(kind): words for kind, _, words in told if kind in _DEVIATIONS}

    @property
    def usage_believed(self) -> bool:
        """Whether ``n_out`` was told, and nothing that was seen contradicts it."""
        return self.n_out is not None and self.token_source != CONTRADICTED


def _packed(gaps_us: Sequence[int]) -> "array[int]":
    if isinstance(gaps_us, array):
        return gaps_us
    try:
        return array("i", gaps_us)
    except OverflowError:
        return array("i", (min(gap, _LONGEST_GAP_US) for gap in gaps_us))


_NAMES: Final = tuple(field.name for field in fields(Request))
_KNOWN: Final = frozenset(_NAMES)
_LARGEST: Final = 1 << 63
_KINDS: Final = tuple(
    (field.name, kind)
    for field in fields(Request)
    for kind in (int, str, bool)
    if field.type in (kind, kind | None)
)
_LONGEST_LINE: Final = 64 << 20
"""Characters of a row; a gap takes four, so this is more tokens than any answer has."""


def to_row(request: Request) -> dict[str, Any]:
    """Return the JSON object of one row."""
    row = {name: getattr(request, name) for name in _NAMES}
    row["gaps_us"] = list(request.gaps_us)
    return row


def from_row(row: Mapping[str, Any]) -> Request:
    """Return the request of one row.

    Raises:
        HistoryError: a field is missing or unknown, or the stamps contradict each other.
    """
    if not isinstance(row, Mapping):
        raise HistoryError(f"a history row is no object but {type(row).__name__}")
    if unknown := row.keys() - _KNOWN:
        raise HistoryError(
            f"a history row has fields this version does not know: {sorted(unknown)}"
        )
    values = dict(row)
    for name, kind in _KINDS:
        value = values.get(name)
        if value is not None and type(value) is not kind:
            raise HistoryError(f"a history row is not valid: {name} is no {kind.__name__}")
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise HistoryError(f"a history row is not valid: {name} is beyond 64 bits")
    try:
        if values.get("error_class") is not None:
            values["error_class"] = FailureClass(values["error_class"])
        values["gaps_us"] = values.get("gaps_us") or ()
        request = Request(**values)
    except (TypeError, ValueError) as error:
        raise HistoryError(f"a history row is not valid: {error}") from error
    return checked(request)


def checked(request: Request) -> Request:
    """Return the request if its stamps are in order.

    The scheduled time may lie after the sending by up to 1 ms: timers fire early by rounding.

    Raises:
        HistoryError: a stamp precedes the one before it.
    """
    if request.send_ns is not None and request.send_ns < request.sched_ns - 1_000_000:
        raise HistoryError(f"request {request.seq}: sent before it was scheduled")
    earlier, start = "", 0
    for later in _ORDER:
        end = getattr(request, later)
        if end is None:
            continue
        if end < start:
            raise HistoryError(f"request {request.seq}: {later} precedes {earlier}")
        earlier, start = later, end
    return request


_ORDER: Final = ("send_ns", "headers_ns", "first_ns", "last_ns", "end_ns")


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

    return write(parquet, once(stream(jsonl)), _NAMES)
