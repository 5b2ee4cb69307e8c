"""The recorded history of a load: one row per scheduled request, and how to read it back."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from hotfire.errors import HistoryError


class FailureClass(StrEnum):
    """Why a request is not complete; exactly one per request."""

    CONNECT = "connect"
    """No connection: refused, unreachable, or not within connect_seconds."""
    TLS = "tls"
    """The TLS handshake failed."""
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
    CLIENT_CANCEL = "client_cancel"
    """We gave the request up for a reason of our own."""
    NOT_SENT = "not sent: client cap"
    """The load generator's own limit on requests in flight: never the target's failure."""


# Classes that cut an answer after its headers. The user lost the stream; an integrity checker must
# treat its outcome as unknown.
STREAM_CUTS = frozenset(
    {
        FailureClass.SSE_ERROR,
        FailureClass.TRUNCATED_NO_DONE,
        FailureClass.RESET_MIDSTREAM,
        FailureClass.FIN_MIDSTREAM,
        FailureClass.STALL_TIMEOUT,
        FailureClass.TTFT_TIMEOUT,
        FailureClass.DEADLINE,
        FailureClass.MALFORMED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One scheduled request. Stamps ``*_ns`` are epoch nanoseconds; None: it did not come so far.

    ``connect_ns`` is a duration: the wait for a new connection, None on a reused one. ``gaps_us``
    are the pauses between output chunks in microseconds, as many as chunks less one.
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
    """Tokens in the first chunk, where the target says so."""
    token_source: str = "chunks"  # noqa: S105 - tokens of a language model
    """``usage`` or ``chunks``."""
    finish_reason: str | None = None
    status: int | None = None
    error_class: FailureClass | None = None
    detail: str = ""
    """What the failure looked like, at most 200 characters."""
    served_by: str | None = None
    prompt_id: int = 0
    phase: str = "steady"
    tenant: str = ""
    """Who sent it, where the plan names tenants."""
    worker: int = 0
    conn_reused: bool = False
    connect_ns: int | None = None
    gaps_us: tuple[int, ...] = ()
    censored: bool = False
    """Ended by us before its outcome was known."""

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
    def stream_lost(self) -> bool:
        """Whether an answer was cut after its headers."""
        return self.headers_ns is not None and self.error_class in STREAM_CUTS


_FIELDS = fields(Request)


def to_row(request: Request) -> dict[str, Any]:
    """Return the JSON object of one row."""
    return asdict(request)


def from_row(row: Mapping[str, Any]) -> Request:
    """Return the request of one row.

    Raises:
        HistoryError: a field is missing or unknown, or the stamps contradict each other.
    """
    unknown = row.keys() - {field.name for field in _FIELDS}
    if unknown:
        raise HistoryError(
            f"a history row has fields this version does not know: {sorted(unknown)}"
        )
    values = dict(row)
    try:
        if values.get("error_class") is not None:
            values["error_class"] = FailureClass(values["error_class"])
        values["gaps_us"] = tuple(values.get("gaps_us") or ())
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
    order = ("send_ns", "headers_ns", "first_ns", "last_ns", "end_ns")
    stamps = [(name, at) for name in order if (at := getattr(request, name)) is not None]
    if request.send_ns is not None and request.send_ns < request.sched_ns - 1_000_000:
        raise HistoryError(f"request {request.seq}: sent before it was scheduled")
    for (earlier, start), (later, end) in itertools.pairwise(stamps):
        if end < start:
            raise HistoryError(f"request {request.seq}: {later} precedes {earlier}")
    return request


def parse_lines(text: str) -> list[Request]:
    """Return the requests of JSON lines; a torn last line, as a crash leaves it, is left out.

    Raises:
        HistoryError: any other line is not a row.
    """
    lines = text.splitlines()
    torn = bool(lines) and not text.endswith("\n")
    requests = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if torn and number == len(lines):
                break
            raise HistoryError(f"line {number} of the history is not JSON: {error}") from error
        requests.append(from_row(row))
    return requests


def load(path: Path) -> list[Request]:
    """Return the requests of a JSONL or Parquet history, ordered by scheduled time.

    Raises:
        HistoryError: the file cannot be read or a row contradicts itself.
    """
    try:
        if path.suffix == ".parquet":
            return in_order(from_row(row) for row in _read_parquet(path))
        return in_order(parse_lines(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read: {error}") from error


def in_order(requests: Iterable[Request]) -> list[Request]:
    """Return the requests ordered by scheduled time.

    Raises:
        HistoryError: a sequence number comes twice.
    """
    ordered = sorted(requests, key=lambda request: (request.sched_ns, request.seq))
    seen: set[int] = set()
    for request in ordered:
        if request.seq in seen:
            raise HistoryError(f"request {request.seq} has two rows in the history")
        seen.add(request.seq)
    return ordered


_PARQUET_TYPES = {
    "int32": {"n_in", "n_out", "n_first", "status", "worker"},
    "string": {
        *("token_source", "finish_reason", "error_class", "detail", "served_by", "phase", "tenant"),
    },
    "bool": {"conn_reused", "censored"},
    "list<int32>": {"gaps_us"},
}


def to_parquet(jsonl: Path, parquet: Path) -> int:
    """Write a JSONL history as Parquet beside it; return the number of rows.

    Raises:
        HistoryError: the history cannot be read or the file cannot be written.
    """
    # Not at the top: the load process reads this module too and has no use for 60 MB of Arrow.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {"int32": pa.int32(), "string": pa.string(), "bool": pa.bool_()}
    types["list<int32>"] = pa.list_(pa.int32())
    kinds = {name: types[kind] for kind, names in _PARQUET_TYPES.items() for name in names}
    schema = pa.schema([(field.name, kinds.get(field.name, pa.int64())) for field in _FIELDS])
    rows = [to_row(request) for request in load(jsonl)]
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), parquet, compression="zstd")
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"{parquet}: cannot be written: {error}") from error
    return len(rows)


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise HistoryError(f"{path}: cannot be read: {error}") from error
    return rows
