"""A history as arrays: what windows slide over, each figure of a request computed once. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hotfire.measure.history import Request
from hotfire.measure.latency import Seconds
from hotfire.measure.percentiles import place
from hotfire.measure.request_times import tpot_seconds, ttft_seconds

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Requests as columns; in the latencies a failed one is infinite, an unknown one NaN."""

    sched_ns: NDArray[np.int64]
    complete: Flags
    ttft: Seconds
    tpot: Seconds

    @classmethod
    def of(cls, requests: Sequence[Request]) -> Self:
        """Return the columns of some requests, in their order."""
        count = len(requests)
        return cls(
            sched_ns=np.fromiter((r.sched_ns for r in requests), np.int64, count),
            complete=np.fromiter((r.complete for r in requests), np.bool_, count),
            ttft=_latency(requests, ttft_seconds),
            tpot=_latency(requests, tpot_seconds),
        )

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.sched_ns)

    def part(self, first: int, last: int) -> "Columns":
        """Return the requests from one place up to, not including, another; nothing is copied."""
        return Columns(
            sched_ns=self.sched_ns[first:last],
            complete=self.complete[first:last],
            ttft=self.ttft[first:last],
            tpot=self.tpot[first:last],
        )

    def where(self, flags: Flags) -> "Columns":
        """Return a copy of the requests with a flag."""
        return Columns(
            sched_ns=self.sched_ns[flags],
            complete=self.complete[flags],
            ttft=self.ttft[flags],
            tpot=self.tpot[flags],
        )

    def place(self, at_ns: int) -> int:
        """Return the place of the first request scheduled then or later."""
        return int(np.searchsorted(self.sched_ns, at_ns))

    def success_ratio(self) -> float:
        """Return the share of complete requests; 0 of none."""
        return int(self.complete.sum()) / len(self) if len(self) else 0.0


def p95(values: Seconds) -> float | None:
    """Return the p95 as ``percentile`` has it, NaN left out; None if nothing was measured."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    rank = place(95, len(known))
    return float(np.partition(known, rank)[rank])


def _latency(requests: Sequence[Request], measure: Callable[[Request], float | None]) -> Seconds:
    values = (_known(measure(r)) if r.complete else math.inf for r in requests)
    return np.fromiter(values, np.float64, len(requests))


def _known(value: float | None) -> float:
    return math.nan if value is None else value
