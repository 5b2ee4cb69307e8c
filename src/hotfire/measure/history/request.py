"""One scheduled request of a load: what was seen of it, and how it failed if it did."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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
