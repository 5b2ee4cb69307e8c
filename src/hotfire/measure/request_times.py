"""What the user of one request experienced. Pure.

The one place where TTFT, TPOT, longest stall, E2E and a good request are defined.
"""

import math
from collections.abc import Callable
from typing import Literal

from hotfire.errors import HistoryError
from hotfire.measure.history import Request
from hotfire.measure.percentiles import SAMPLE_FLOORS
from hotfire.measure.streamed import Streamed, pattern
from hotfire.profile import Budgets

NANO = 1e-9
Since = Literal["scheduled", "sent"]


def ttft_seconds(request: Request, *, since: Since = "scheduled") -> float | None:
    """Return seconds to the first token; None if none came.

    Counted from the scheduled arrival it is the user's TTFT and keeps any client queueing in, as
    MLPerf LoadGen does; from the actual send it is the service's.
    """
    start = request.sched_ns if since == "scheduled" else request.send_ns
    return seconds_between(start, request.first_ns, request)


def tpot_seconds(request: Request) -> float | None:
    """Return mean seconds per output token after the first; None if that was not seen.

    (last - first output time) / (n - n_first). n is the target's ``usage`` count, never a chunk
    count. It was not seen if n is unknown, contradicted by what was streamed, or <= n_first, or if
    tokens came together: see ``how_streamed``.

    Raises:
        HistoryError: a stamp precedes the one before it.
    Source: MLPerf LoadGen. GuideLLM's TPOT differs: it includes TTFT.
    """
    span = seconds_between(request.first_ns, request.last_ns, request)
    if span is None or request.n_out is None or request.n_out <= request.n_first:
        return None
    if not request.usage_believed or _pattern(request) is not Streamed.YES:
        return None
    return span / (request.n_out - request.n_first)


def how_streamed(request: Request) -> Streamed | None:
    """Return how the tokens of an answer came, by its row alone; None: nothing tells.

    Nothing tells of an answer that is not complete, of one token, or of one chunk with few. The
    rule, its source and its limits: ``streamed.pattern``.
    """
    return _pattern(request) if request.complete else None


def _pattern(request: Request) -> Streamed | None:
    if request.last_ns is None:
        return None
    if request.first_ns is None:
        return Streamed.NO
    span_ns = request.last_ns - request.first_ns
    return pattern(request.gaps_us, span_ns, request.n_out)


def e2e_seconds(request: Request) -> float | None:
    """Return seconds from scheduled arrival to the last token; None if none came."""
    return seconds_between(request.sched_ns, request.last_ns, request)


def longest_stall_seconds(request: Request) -> float | None:
    """Return the largest pause of a stream after its first token; None if none came.

    For a stream that was cut or given up, the silence before its end counts too.
    """
    if request.first_ns is None:
        return None
    longest = max(request.gaps_us, default=0) * 1e-6
    if request.complete:
        return longest
    return max(longest, seconds_between(request.last_ns, request.end_ns, request) or 0.0)


def seconds_between(start_ns: int | None, end_ns: int | None, request: Request) -> float | None:
    if start_ns is None or end_ns is None:
        return None
    if end_ns < start_ns - 1_000_000:
        raise HistoryError(f"request {request.seq}: a stamp precedes the one before it")
    return max(0, end_ns - start_ns) * NANO


Measure = Callable[[Request], float | None]


def figure(request: Request, measure: Measure) -> float | None:
    """Return a figure of a complete request; None if it has none, NaN if nobody told or saw it.

    An answer of one token, or of one step, has no time between tokens; one without usage has, but
    of how many? One whose tokens came together has too, but nobody saw it.
    """
    value = measure(request)
    if value is not None:
        return value
    counted = measure is tpot_seconds and request.usage_believed and request.n_out
    seen = how_streamed(request) in (Streamed.YES, None)
    return None if counted and seen else math.nan


def meets(request: Request, budgets: Budgets | None) -> bool | None:
    """Return whether one request is complete and within every latency budget.

    None: it is within those that can be judged, and nobody told the others. For a figure budgeted
    at p95 and p99 the wider limit counts for a single request.
    """
    if not request.complete:
        return False
    if budgets is None:
        return True
    known = True
    for name, measure in LATENCIES.items():
        limits = [getattr(budgets, f"{name}_p{q}_seconds") for q in SAMPLE_FLOORS]
        given = [limit for limit in limits if limit is not None]
        value = figure(request, measure) if given else None
        if value is not None and value > max(given):
            return False
        known = known and (value is None or not math.isnan(value))
    return True if known else None


LATENCIES: dict[str, Measure] = {
    "ttft": ttft_seconds,
    "tpot": tpot_seconds,
    "e2e": e2e_seconds,
}
