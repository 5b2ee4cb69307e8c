"""What a user experiences, measured from a history and judged against budgets. Pure.

The one place where TTFT, TPOT, longest stall, E2E, complete and goodput are defined.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from hotfire.errors import HistoryError
from hotfire.history import Request
from hotfire.percentiles import SAMPLE_FLOORS, percentile, place
from hotfire.profile import Budgets
from hotfire.verdict import Verdict

NANO = 1e-9
CONFIDENCE = 0.95
"""Of the exact test that lets few requests exceed a ratio."""

Since = Literal["scheduled", "sent"]


def ttft_seconds(request: Request, *, since: Since = "scheduled") -> float | None:
    """Return seconds to the first token; None if none came.

    Counted from the scheduled arrival it is the user's TTFT and keeps any client queueing in, as
    MLPerf LoadGen does; from the actual send it is the service's.
    """
    start = request.sched_ns if since == "scheduled" else request.send_ns
    return _seconds(start, request.first_ns, request)


def tpot_seconds(request: Request) -> float | None:
    """Return mean seconds per output token after the first; None if n is unknown or <= n_first.

    (last - first output time) / (n - n_first). n is the target's ``usage`` count, never a chunk
    count.

    Raises:
        HistoryError: a stamp precedes the one before it.
    Source: MLPerf LoadGen. GuideLLM's TPOT differs: it includes TTFT.
    """
    span = _seconds(request.first_ns, request.last_ns, request)
    if span is None or request.n_out is None or request.n_out <= request.n_first:
        return None
    return span / (request.n_out - request.n_first)


def e2e_seconds(request: Request) -> float | None:
    """Return seconds from scheduled arrival to the last token; None if none came."""
    return _seconds(request.sched_ns, request.last_ns, request)


def longest_stall_seconds(request: Request) -> float | None:
    """Return the largest pause of a stream after its first token; None if none came.

    For a stream that was cut or given up, the silence before its end counts too.
    """
    if request.first_ns is None:
        return None
    longest = max(request.gaps_us, default=0) * 1e-6
    if request.complete:
        return longest
    return max(longest, _seconds(request.last_ns, request.end_ns, request) or 0.0)


def _seconds(start_ns: int | None, end_ns: int | None, request: Request) -> float | None:
    if start_ns is None or end_ns is None:
        return None
    if end_ns < start_ns - 1_000_000:
        raise HistoryError(f"request {request.seq}: a stamp precedes the one before it")
    return max(0, end_ns - start_ns) * NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of one figure, in seconds; NaN where there are no values."""

    count: int
    requests: int
    """Independent requests behind the values: chunk gaps are many, but share their requests."""
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float

    @classmethod
    def of(
        cls, values: Sequence[float] | NDArray[np.float64], *, requests: int | None = None
    ) -> "Latency":
        """Return the percentiles of some values, each of a request of its own by default."""
        ordered = np.sort(np.asarray(values, np.float64))
        p50, p95, p99 = (
            float(ordered[place(q, len(ordered))]) if len(ordered) else math.nan
            for q in (50, 95, 99)
        )
        return cls(
            count=len(ordered),
            requests=len(ordered) if requests is None else requests,
            p50_seconds=p50,
            p95_seconds=p95,
            p99_seconds=p99,
        )

    def percentiles(self) -> dict[int, float | None]:
        """Return p50, p95 and p99 in seconds; None below the sample floor, NaN of no values."""
        return {
            50: self.p50_seconds,
            95: self.p95_seconds if self.requests >= SAMPLE_FLOORS[95] else None,
            99: self.p99_seconds if self.requests >= SAMPLE_FLOORS[99] else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One history in figures. ``*_all`` count each failed request as infinitely slow."""

    scheduled: int
    complete: int
    failed: int
    censored: int
    not_sent: int
    failures: dict[str, int]
    error_ratio: float
    """Failed among those with a known outcome, 0-1; NaN if there are none."""
    span_seconds: float
    """From the first to the last scheduled arrival."""
    output_tokens: int
    ttft: Latency
    ttft_all: Latency
    service_ttft: Latency
    tpot: Latency
    tpot_all: Latency
    e2e: Latency
    e2e_all: Latency
    chunk_gap: Latency
    """Pauses between output chunks of complete requests, pooled; no token times."""
    longest_stall_seconds: float
    lost_streams: int
    goodput_ratio: float
    """Complete and within the latency budgets, among all scheduled, 0-1; NaN if any is unjudged."""
    goodput_per_second: float
    """The same as a rate over the scheduled arrivals; NaN for less than two requests."""
    unjudged: int
    """Complete requests that may be good or not: nobody told a latency that has a budget."""

    def figures(self) -> dict[str, float | int]:
        """Return the flat figures of a report line.

        Those without a value are left out, and percentiles below their sample floor; a percentile
        that falls among failed requests is infinite.
        """
        flat: dict[str, float | int] = {
            "requests_scheduled": self.scheduled,
            "requests_complete": self.complete,
            "requests_failed": self.failed,
            "requests_censored": self.censored,
            "lost_streams": self.lost_streams,
            "error_ratio": self.error_ratio,
            "goodput_ratio": self.goodput_ratio,
            "goodput_per_second": self.goodput_per_second,
            "longest_stall_seconds": self.longest_stall_seconds,
        }
        for name, latency in self.latencies():
            for q, value in latency.percentiles().items():
                flat[f"{name}_p{q}_seconds"] = math.nan if value is None else value
        return {name: value for name, value in flat.items() if not math.isnan(value)}

    def latencies(self) -> Iterator[tuple[str, Latency]]:
        """Yield each latency over complete requests and, where some failed, over all of them."""
        for name in ("ttft", "service_ttft", "tpot", "chunk_gap", "e2e"):
            yield name, getattr(self, name)
            if self.failed and name in LATENCIES:
                yield f"{name}_with_failures", getattr(self, f"{name}_all")


def summarise(requests: Sequence[Request], budgets: Budgets | None = None) -> Summary:
    """Return the figures of a history; without budgets every complete request is good."""
    complete = [request for request in requests if request.complete]
    failed = [request for request in requests if request.failed]
    kept = Counter(meets(request, budgets) for request in complete)
    good = math.nan if kept[None] else kept[True]
    stamps = [request.sched_ns for request in requests]
    span_seconds = (max(stamps) - min(stamps)) * NANO if stamps else 0.0
    return Summary(
        scheduled=len(requests),
        complete=len(complete),
        failed=len(failed),
        censored=sum(request.censored for request in requests),
        not_sent=sum(not request.sent for request in requests),
        failures=dict(Counter(str(r.error_class) for r in requests if r.error_class is not None)),
        error_ratio=_ratio(len(failed), len(failed) + len(complete)),
        span_seconds=span_seconds,
        output_tokens=sum(request.n_out or 0 for request in requests),
        ttft=Latency.of(_values(complete, ttft_seconds)),
        ttft_all=Latency.of(_with_failures(requests, ttft_seconds)),
        service_ttft=Latency.of(_values(complete, lambda r: ttft_seconds(r, since="sent"))),
        tpot=Latency.of(_values(complete, tpot_seconds)),
        tpot_all=Latency.of(_with_failures(requests, tpot_seconds)),
        e2e=Latency.of(_values(complete, e2e_seconds)),
        e2e_all=Latency.of(_with_failures(requests, e2e_seconds)),
        chunk_gap=Latency.of(chunk_gaps_seconds(complete), requests=len(complete)),
        longest_stall_seconds=max(_values(requests, longest_stall_seconds), default=0.0),
        lost_streams=sum(request.stream_lost for request in requests),
        goodput_ratio=_ratio(good, len(requests)),
        goodput_per_second=good / _covered_seconds(span_seconds, len(requests)),
        unjudged=kept[None],
    )


def chunk_gaps_seconds(requests: Iterable[Request]) -> NDArray[np.float64]:
    """Return every pause between two output chunks of the same request, pooled."""
    packed = b"".join(array("i", request.gaps_us) for request in requests)
    return np.frombuffer(packed, np.int32).astype(np.float64) * 1e-6


def _covered_seconds(span_seconds: float, count: int) -> float:
    """Return the time that arrivals stand for: each with the mean gap after it."""
    return span_seconds * count / (count - 1) if span_seconds else math.nan


Measure = Callable[[Request], float | None]


def _values(requests: Iterable[Request], measure: Measure) -> list[float]:
    return [value for r in requests if (value := measure(r)) is not None]


def _with_failures(
    requests: Iterable[Request], measure: Measure, *, unknown: float | None = None
) -> list[float]:
    """Return a figure of each request, infinite for the failed ones.

    Censored ones, and those whose figure nobody told, take the value given, or are left out. What
    the client held back is left out.
    """
    values = []
    for request in requests:
        value: float | None = math.inf if request.failed else None
        if request.complete:
            value = _figure(request, measure)
        if request.censored or (value is not None and math.isnan(value)):
            value = unknown
        if value is not None:
            values.append(value)
    return values


def _figure(request: Request, measure: Measure) -> float | None:
    """Return a figure of a complete request; None if it has none, NaN if nobody told it.

    An answer of one token has no time between tokens; one without usage has, but of how many?
    """
    value = measure(request)
    if value is not None:
        return value
    tokens = request.n_out
    return None if measure is tpot_seconds and tokens and tokens <= request.n_first else math.nan


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else math.nan


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
        value = _figure(request, measure) if given else None
        if value is not None and value > max(given):
            return False
        known = known and (value is None or not math.isnan(value))
    return True if known else None


LATENCIES: dict[str, Measure] = {
    "ttft": ttft_seconds,
    "tpot": tpot_seconds,
    "e2e": e2e_seconds,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """One budget against what was measured."""

    name: str
    limit: float
    measured: float | None
    verdict: Verdict
    reason: str


def judge_budgets(requests: Sequence[Request], budgets: Budgets) -> list[BudgetResult]:
    """Return one result for each budget that is set, except ``recovery_seconds``.

    Latency percentiles count failed requests as infinitely slow. Censored requests might have
    ended either way, and so may those whose latency nobody told: a budget passes only if it would
    with all of them lost, and fails only if it would with all of them instantly served. Recovery
    is judged in ``recovery``.
    """
    results = []
    if budgets.error_ratio is not None:
        results.append(_judge_error_ratio(requests, budgets.error_ratio))
    for name, measure in LATENCIES.items():
        for q in SAMPLE_FLOORS:
            limit = getattr(budgets, f"{name}_p{q}_seconds")
            if limit is not None:
                results.append(_judge_percentile(requests, name, measure, q, limit))
    if budgets.lost_streams is not None:
        results.append(_judge_lost_streams(requests, budgets.lost_streams))
    if budgets.longest_stall_seconds is not None:
        results.append(_judge_stall(requests, budgets.longest_stall_seconds))
    return results


def _judge_percentile(
    requests: Sequence[Request], name: str, measure: Measure, q: int, limit: float
) -> BudgetResult:
    best = percentile(_with_failures(requests, measure, unknown=0.0), q)
    worst = percentile(_with_failures(requests, measure, unknown=math.inf), q)
    known = _with_failures(requests, measure)
    full = f"{name}_p{q}_seconds"
    if len(known) < SAMPLE_FLOORS[q]:
        reason = f"{full}: {len(known)} requests, a p{q} needs {SAMPLE_FLOORS[q]}"
        return _result(full, limit, percentile(known, q), Verdict.INCONCLUSIVE, reason)
    return _bounded(full, limit, percentile(known, q), best=best, worst=worst)


def _bounded(
    name: str, limit: float, measured: float, *, best: float, worst: float
) -> BudgetResult:
    """Judge a figure of which only bounds are known, as with censored requests."""
    seen = f"{name}: measured {measured:.4g}, limit {limit:g}"
    if best > limit:
        return _result(name, limit, measured, Verdict.FAILED, f"{seen}: exceeded")
    if worst <= limit:
        return _result(name, limit, measured, Verdict.PASSED, f"{seen}: kept")
    reason = f"{seen}: requests cut off by the end, or that told too little, decide it"
    return _result(name, limit, measured, Verdict.INCONCLUSIVE, reason)


def _result(
    name: str, limit: float, measured: float, verdict: Verdict, reason: str
) -> BudgetResult:
    shown = None if math.isnan(measured) else measured
    return BudgetResult(name=name, limit=limit, measured=shown, verdict=verdict, reason=reason)


def _judge_error_ratio(requests: Sequence[Request], limit: float) -> BudgetResult:
    """Judge failed / scheduled.

    With fewer than 1 / limit requests a single failure exceeds the limit; then only an excess that
    the exact binomial test confirms (at 95 %) fails, and nothing passes.
    """
    failed = sum(request.failed for request in requests)
    censored = sum(request.censored for request in requests)
    total = sum(request.sent for request in requests)
    known = total - censored
    measured = _ratio(failed, known)
    floor = math.ceil(1 / limit) if limit else 1
    if known < floor:
        certain = known > 0 and binomial_tail(failed, known, limit) <= 1 - CONFIDENCE
        verdict = Verdict.FAILED if certain else Verdict.INCONCLUSIVE
        reason = f"error_ratio: {failed} of {known} failed, limit {limit:g} needs {floor} requests"
        return _result("error_ratio", limit, measured, verdict, reason)
    best, worst = _ratio(failed, total), _ratio(failed + censored, total)
    return _bounded("error_ratio", limit, measured, best=best, worst=worst)


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Return the chance of at least that many successes, at most all, in independent trials."""
    return float(bdtrc(successes - 1, trials, probability))


def _judge_lost_streams(requests: Sequence[Request], limit: int) -> BudgetResult:
    lost = sum(request.stream_lost for request in requests)
    open_ = sum(request.censored and request.accepted for request in requests)
    if not requests:
        return _nothing("lost_streams", limit)
    return _bounded("lost_streams", limit, lost, best=lost, worst=lost + open_)


def _judge_stall(requests: Sequence[Request], limit: float) -> BudgetResult:
    stalls = _values(requests, longest_stall_seconds)
    if not stalls:
        return _nothing("longest_stall_seconds", limit)
    longest = max(stalls)
    open_ = any(r.censored and r.first_ns is not None for r in requests)
    worst = math.inf if open_ else longest
    return _bounded("longest_stall_seconds", limit, longest, best=longest, worst=worst)


def _nothing(name: str, limit: float) -> BudgetResult:
    return _result(name, limit, math.nan, Verdict.INCONCLUSIVE, f"{name}: nothing was measured")
