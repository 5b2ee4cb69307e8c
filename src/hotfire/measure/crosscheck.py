"""Two witnesses of one load: what the client measured against what the engines counted. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

from pydantic import BaseModel, ConfigDict

from hotfire.engines.dialect import Dialect, Series, dialect_of
from hotfire.measure.history import Request
from hotfire.measure.request_times import tpot_seconds, ttft_seconds
from hotfire.metrics import Metrics, increase

USUAL: Final = dialect_of("vllm")
"""How engines tell of themselves about which nothing else is said."""
UNTOLD: Final = "engines of this kind tell no time to the first token"
COUNT_RATIO: Final = 0.01
"""Requests that the two counts may differ by: a scrape is never at the same moment."""


class Agreement(StrEnum):
    """What the two accounts amount to."""

    AGREES = "agrees"
    """The client saw each first token later than the engine, by the way between them."""
    MEASURING_FAULT = "measuring fault"
    """The client claims to have seen tokens before the engine made them."""
    NOT_COMPARABLE = "not comparable"
    """They do not speak of the same requests, or one of them is silent."""


class CrossCheck(BaseModel):
    """One load as both sides saw it; written beside its history."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agreement: Agreement
    reason: str
    requests_by_client: int
    """Those that got a first token."""
    requests_by_engine: int | None = None
    ttft_by_client_seconds: float | None = None
    """Mean, from the sending: the engine knows nothing of the schedule."""
    ttft_by_engine_seconds: float | None = None
    """Mean, from the arrival at the engine's API server."""
    ttft_between_seconds: float | None = None
    """Client's less engine's: gateway, network and the engine's HTTP frontend."""
    ttft_bucket_seconds: float | None = None
    """Width of the engine's histogram bucket at its mean."""
    tpot_by_client_seconds: float | None = None
    tpot_by_engine_seconds: float | None = None


def cross_check(
    rows: Iterable[Request],
    before: Metrics | None,
    after: Metrics | None,
    *,
    dialect: Dialect = USUAL,
    unsure: int = 0,
) -> CrossCheck:
    """Return how the client's rows and two scrapes of all engines, around them, go together.

    ``unsure`` is how many requests more the engines may have counted: those between the scrapes of
    one engine and another, where a load ran meanwhile.
    """
    seen, ttfts, tpots = _seen(rows)
    if before is None or after is None:
        return not_comparable(seen, "the engines' metrics could not be read")
    if dialect.ttft is None:
        return not_comparable(seen, UNTOLD)
    name = dialect.ttft.name
    count = increase(before, after, f"{name}_count")
    total = increase(before, after, f"{name}_sum")
    if not count or total is None:
        return not_comparable(seen, f"the engines counted nothing in {name}")
    client, engine = _average(ttfts), total / count
    bucket = _bucket(after, name, engine)
    agreement, reason = _counted(seen, round(count), unsure) or _judged(client - engine, bucket)
    return CrossCheck(
        agreement=agreement,
        reason=reason,
        requests_by_client=seen,
        requests_by_engine=round(count),
        ttft_by_client_seconds=_finite(client),
        ttft_by_engine_seconds=engine,
        ttft_between_seconds=_finite(client - engine),
        ttft_bucket_seconds=_finite(bucket),
        tpot_by_client_seconds=_finite(_average(tpots)),
        tpot_by_engine_seconds=_histogram_mean(before, after, dialect.tpot),
    )


def _seen(rows: Iterable[Request]) -> tuple[int, list[float], list[float]]:
    """Return how many rows have a first token, and the TTFT and TPOT of those that tell one."""
    count, ttfts, tpots = 0, [], []
    for row in rows:
        if row.first_ns is None:
            continue
        count += 1
        ttft, tpot = ttft_seconds(row, since="sent"), tpot_seconds(row)
        ttfts += [] if ttft is None else [ttft]
        tpots += [tpot] if tpot else []
    return count, ttfts, tpots


def _counted(by_client: int, by_engine: int, unsure: int) -> tuple[Agreement, str] | None:
    """Return how the counts contradict each other; None if they do not."""
    slack = max(1, COUNT_RATIO * by_client)
    if by_client - slack <= by_engine <= by_client + unsure + slack:
        return None
    saw = f"{by_client} to {by_client + unsure}" if unsure else str(by_client)
    return Agreement.NOT_COMPARABLE, (
        f"the client saw {saw} first tokens, the engines made {by_engine}:"
        " somebody else asks them too, or not all of them were read"
    )


def _judged(between: float, bucket: float) -> tuple[Agreement, str]:
    told = f"the client's mean TTFT is {1000 * abs(between):.1f} ms"
    if between < -bucket:
        return Agreement.MEASURING_FAULT, (
            f"{told} below the engines', more than a histogram bucket ({1000 * bucket:.0f} ms)"
        )
    if between < 0:
        return Agreement.AGREES, f"{told} below the engines', less than their histogram resolves"
    return Agreement.AGREES, f"{told} above the engines': gateway, network and HTTP frontend"


def not_comparable(by_client: int, reason: str) -> CrossCheck:
    """Return the cross-check of a load of which the engines say nothing."""
    return CrossCheck(
        agreement=Agreement.NOT_COMPARABLE, reason=reason, requests_by_client=by_client
    )


def _average(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _histogram_mean(before: Metrics, after: Metrics, series: Series | None) -> float | None:
    if series is None:
        return None
    name = series.name
    count, total = increase(before, after, f"{name}_count"), increase(before, after, f"{name}_sum")
    return total / count if count and total is not None else None


def _bucket(scrape: Metrics, name: str, value: float) -> float:
    """Return the width of the bucket that a value falls into; 0 where there are none."""
    labels = {sample.labels.get("le", "nan") for sample in scrape.series(f"{name}_bucket")}
    bounds = sorted({0.0, *(b for b in map(float, labels) if math.isfinite(b))})
    widths = [high - low for low, high in pairwise(bounds)]
    return widths[min(max(bisect_left(bounds, value) - 1, 0), len(widths) - 1)] if widths else 0.0


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
