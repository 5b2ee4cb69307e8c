"""What the users of a load experienced, measured from its history. Pure; ``budgets`` judges it.

The one place where complete, goodput and the other figures of a load are counted.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from hotfire.measure.history import Request
from hotfire.measure.latency import Latency, Seconds, known
from hotfire.measure.request_times import (
    LATENCIES,
    NANO,
    figure,
    how_streamed,
    longest_stall_seconds,
    meets,
    seconds_between,
    ttft_seconds,
)
from hotfire.measure.streamed import Streamed, overall
from hotfire.profile import Budgets


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
    """Without values, as the chunk gap, where tokens came together: see ``streamed``."""
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
    streamed: Streamed | None
    """Whether tokens came as they were made; if not, TPOT and pauses were not observable."""
    unobserved: int
    """Complete answers whose tokens came in bursts or at once."""
    deviations: dict[str, int]
    """Answers in which the target's word contradicts what was seen or asked for, by its kind."""

    @property
    def streamed_told(self) -> str:
        """Whether tokens came as they were made, in words."""
        if self.streamed is None:
            return "not known, since nothing tells"
        if self.streamed is Streamed.YES:
            some = f"{self.unobserved} of {self.complete} answers"
            return f"yes, but for {some}" if self.unobserved else "yes"
        return (
            f"{self.streamed}: the tokens of {self.unobserved} of {self.complete} answers came"
            " together, as from a buffer; TPOT, chunk gaps and stalls are not observable"
        )

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
            "unobserved_streams": self.unobserved,
            **{f"{kind}_answers": count for kind, count in self.deviations.items()},
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


def summarise(requests: Iterable[Request], budgets: Budgets | None = None) -> Summary:
    """Return the figures of a history; without budgets every complete request is good."""
    return Account.of(requests, budgets).summary()


class Account:
    """What a history amounts to, counted row by row: none has to stay in memory.

    Of each request it keeps the latencies, of complete ones the pauses as well.
    """

    def __init__(self, budgets: Budgets | None = None) -> None:
        """Begin with nothing; the budgets say which complete requests are good."""
        self._budgets = budgets
        self.scheduled = self.complete = self.failed = self.censored = self.not_sent = 0
        self.output_tokens = self.lost_streams = self.open_streams = 0
        self.stalls_are_known = True
        """Whether no stream was cut off by the end, which might have stalled for longer."""
        self.longest_stall_seconds: float | None = None
        self.longest_unseen_seconds = 0.0
        """No pause that nobody saw was longer: from sending to the last token, of the answers whose
        tokens came together."""
        self.failures: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        """What the first failure of each class looked like, and the first deviation of each."""
        self.streams: Counter[Streamed | None] = Counter()
        """How the tokens of each complete answer came."""
        self.deviations: Counter[str] = Counter()
        self._service_ttft = array("d")
        self._latencies = {name: array("d") for name in LATENCIES}
        self._gaps_us = array("i")
        self._kept: Counter[bool | None] = Counter()
        self._first_ns = self._last_ns = 0

    @classmethod
    def of(cls, requests: Iterable[Request], budgets: Budgets | None = None) -> Self:
        """Return the account of some requests, in any order."""
        account = cls(budgets)
        for request in requests:
            account.add(request)
        return account

    def add(self, request: Request) -> None:
        """Count one request."""
        at_ns = request.sched_ns
        self._first_ns = min(self._first_ns, at_ns) if self.scheduled else at_ns
        self._last_ns = max(self._last_ns, at_ns)
        self.scheduled += 1
        self.failed += request.failed
        self.censored += request.censored
        self.not_sent += not request.sent
        self.output_tokens += (request.n_out or 0) if request.usage_believed else 0
        self.lost_streams += request.stream_lost
        if request.error_class is not None:
            self.failures[str(request.error_class)] += 1
            self.examples.setdefault(str(request.error_class), request.detail)
        for kind, words in request.deviations.items():
            self.deviations[str(kind)] += 1
            self.examples.setdefault(str(kind), words)
        self._add_stall(request)
        if request.complete:
            self._add_complete(request)
        elif request.censored or request.failed:
            self.open_streams += request.censored and request.accepted
            for values in self._latencies.values():
                values.append(math.nan if request.censored else math.inf)

    def _add_complete(self, request: Request) -> None:
        self.complete += 1
        self._kept[meets(request, self._budgets)] += 1
        kind = how_streamed(request)
        self.streams[kind] += 1
        if kind is Streamed.YES:
            self._gaps_us.extend(request.gaps_us)
        elif kind is not None:
            whole = seconds_between(request.send_ns or request.sched_ns, request.last_ns, request)
            self.longest_unseen_seconds = max(self.longest_unseen_seconds, whole or math.inf)
        served = ttft_seconds(request, since="sent")
        if served is not None:
            self._service_ttft.append(served)
        for name, measure in LATENCIES.items():
            value = figure(request, measure)
            if value is not None:
                self._latencies[name].append(value)

    def _add_stall(self, request: Request) -> None:
        if request.censored and request.first_ns is not None:
            self.stalls_are_known = False
        stall = longest_stall_seconds(request)
        if stall is not None:
            self.longest_stall_seconds = max(self.longest_stall_seconds or 0.0, stall)

    @property
    def streamed(self) -> Streamed | None:
        """How the tokens of the complete answers came, taken together; None: nothing tells.

        Unless it is ``YES``, TPOT, chunk gaps and stalls were not observable: no budget of them is
        kept, whatever was measured.
        """
        seen = self.streams
        return overall(seen[Streamed.YES], seen[Streamed.BURSTS], seen[Streamed.NO])

    @property
    def unobserved(self) -> int:
        """Complete answers whose tokens came in bursts or at once."""
        return self.streams[Streamed.BURSTS] + self.streams[Streamed.NO]

    def latency(self, name: str) -> Seconds:
        """Return a latency of each request that has one, by its name in ``LATENCIES``.

        Infinite for failed requests, NaN where nobody told or saw it: censored ones, answers
        without usage, of TPOT those whose tokens came together. What the client held back is left
        out.
        """
        return np.array(self._latencies[name], np.float64)

    def served(self, name: str) -> Seconds:
        """Return a latency of each complete request that has one; ``service_ttft`` too."""
        if name == "service_ttft":
            return np.array(self._service_ttft, np.float64)
        values = self.latency(name)
        return values[np.isfinite(values)]

    def summary(self) -> Summary:
        """Return the figures."""
        good = math.nan if self._kept[None] else self._kept[True]
        span_seconds = (self._last_ns - self._first_ns) * NANO if self.scheduled else 0.0
        observed = self.streamed in (Streamed.YES, None)
        tpots = self.latency("tpot") if observed else np.array([], np.float64)
        return Summary(
            scheduled=self.scheduled,
            complete=self.complete,
            failed=self.failed,
            censored=self.censored,
            not_sent=self.not_sent,
            failures=dict(self.failures),
            error_ratio=ratio(self.failed, self.failed + self.complete),
            span_seconds=span_seconds,
            output_tokens=self.output_tokens,
            ttft=Latency.of(self.served("ttft")),
            ttft_all=Latency.of(known(self.latency("ttft"))),
            service_ttft=Latency.of(self.served("service_ttft")),
            tpot=Latency.of(tpots[np.isfinite(tpots)]),
            tpot_all=Latency.of(known(tpots)),
            e2e=Latency.of(self.served("e2e")),
            e2e_all=Latency.of(known(self.latency("e2e"))),
            chunk_gap=Latency.of_gaps(self._gaps_us, requests=self.complete - self.unobserved),
            longest_stall_seconds=self.longest_stall_seconds or 0.0,
            lost_streams=self.lost_streams,
            goodput_ratio=ratio(good, self.scheduled),
            goodput_per_second=good / _covered_seconds(span_seconds, self.scheduled),
            unjudged=self._kept[None],
            streamed=self.streamed,
            unobserved=self.unobserved,
            deviations=dict(self.deviations),
        )


def _covered_seconds(span_seconds: float, count: int) -> float:
    """Return the time that arrivals stand for: each with the mean gap after it."""
    return span_seconds * count / (count - 1) if span_seconds else math.nan


def ratio(part: float, whole: int) -> float:
    """Return a share of a whole; NaN of nothing."""
    return part / whole if whole else math.nan
