"""One request on its way: what was ordered, how it ended, and the row it becomes."""

import os
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hotfire.answer.token_clock import clocked, deviations
from hotfire.answer.transcript import DETAIL_LIMIT, Outcome, Transcript
from hotfire.measure.history import CONTRADICTED, USAGE_DOUBTS, Deviation, FailureClass, Request
from hotfire.traffic.wire.clock import NANO, Anchor
from hotfire.traffic.wire.orders import Order
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.request import Requests

STALE_NS = NANO
GAPS_LIMIT = 1_000_000
"""A stream of more chunks has no end; its times would fill the memory."""


class Answered(Protocol):
    """What a client knows of an answer, however it reads it."""

    said: Transcript
    received: bool
    status: int | None
    served_by: str | None
    headers_ns: int | None

    def refusal(self) -> Outcome:
        """Return the class of a status that is not 2xx."""


Read_co = TypeVar("Read_co", bound=Answered, covariant=True)


@dataclass(slots=True, eq=False)
class Exchange(Generic[Read_co]):
    """One request on its way. Stamps are monotonic."""

    order: Order
    dispatched_ns: int
    answer: Read_co
    reused: bool = False
    connect_ns: int | None = None
    send_ns: int | None = None
    shaking: bool = False
    """A connection is there, but its TLS handshake has not ended."""


Freed = Callable[[bool, int | None], None]
"""Hears at once of an exchange's end: whether the answer was complete, and when that was."""


class Rows:
    """Tells of the end of each exchange, makes its row and hands that on."""

    def __init__(
        self,
        plan: LoadPlan,
        sink: Callable[[Request], None],
        *,
        anchor: Anchor,
        start_ns: int,
        requests: Requests,
        freed: Freed | None = None,
    ) -> None:
        self.reported = 0
        self._freed = freed
        self._waiting: list[tuple[Exchange[Answered], Outcome, int | None, bool]] = []
        self._sink, self._anchor, self._requests = sink, anchor, requests
        self._warm_ns = start_ns + round(plan.warmup_seconds * NANO)

    def report(
        self,
        exchange: Exchange[Answered],
        outcome: Outcome,
        end_ns: int | None,
        *,
        censored: bool = False,
    ) -> None:
        """Tell of one end. Its row is made by ``write``: the next request is more urgent."""
        if self._freed and not censored:
            self._freed(outcome[0] is None, end_ns)
        self._waiting.append((exchange, outcome, end_ns, censored))

    def write(self) -> None:
        """Make the rows of what was reported, and hand them on."""
        waiting, self._waiting = self._waiting, []
        for exchange, (kind, detail), end_ns, censored in waiting:
            self._sink(self._row(exchange, kind, detail, end_ns=end_ns, censored=censored))
            self.reported += 1

    def _row(
        self,
        exchange: Exchange[Answered],
        kind: FailureClass | None,
        detail: str,
        *,
        end_ns: int | None,
        censored: bool,
    ) -> Request:
        epoch = self._anchor.epoch
        answer, said, order = exchange.answer, exchange.answer.said, exchange.order
        clock = clocked(said)
        wrong = dict(deviations(said, self._requests.asked(order.prompt_id)))
        return Request(
            seq=order.seq,
            sched_ns=self._anchor.stamp(order.sched_ns),
            send_ns=epoch(exchange.send_ns),
            headers_ns=epoch(answer.headers_ns),
            first_ns=epoch(clock.first_ns),
            first_output_ns=epoch(clock.first_output_ns),
            last_ns=epoch(clock.last_ns),
            end_ns=epoch(end_ns),
            n_in=said.n_in,
            n_out=said.n_out,
            n_first=clock.n_first,
            token_source=_source(said, wrong),
            finish_reason=said.finish_reason,
            status=answer.status,
            error_class=kind,
            detail=detail[:DETAIL_LIMIT],
            deviation="; ".join(f"{kind}: {words}" for kind, words in wrong.items()),
            served_by=answer.served_by,
            prompt_id=order.prompt_id,
            tenant=self._requests.texts.tenant(order.prompt_id),
            phase="warmup" if order.sched_ns < self._warm_ns else "steady",
            conn_reused=exchange.reused,
            connect_ns=exchange.connect_ns,
            gaps_us=clock.gaps_us,
            censored=censored,
        )


def _source(said: Transcript, wrong: Collection[Deviation]) -> str:
    """Return where the number of tokens is from, or that it is not to be believed."""
    if said.n_out is None:
        return "chunks"
    return "usage" if USAGE_DOUBTS.isdisjoint(wrong) else CONTRADICTED


def overdue(plan: LoadPlan, exchange: Exchange[Answered], now: int) -> Outcome | None:
    """Return why an exchange is given up at this moment, if it is."""
    answer = exchange.answer
    if len(answer.said.gaps) > GAPS_LIMIT:
        return FailureClass.MALFORMED, f"more than {GAPS_LIMIT} chunks and no end"
    until_ns, late = limit(plan, exchange)
    if now < until_ns:
        return None
    if answer.status is not None and answer.status >= 300:
        return answer.refusal()[0] or late, f"{answer.status}, and its body never ended"
    return late, "given up by the client"


def limit(plan: LoadPlan, exchange: Exchange[Answered]) -> tuple[float, FailureClass]:
    """Return how long an exchange may stay as it is, and the class of one that does."""
    answer, start = exchange.answer, exchange.order.sched_ns
    last_ns = answer.said.last_ns
    until_ns = start + plan.deadline_seconds * NANO
    late = FailureClass.DEADLINE
    if exchange.send_ns is None:
        sooner_ns = exchange.dispatched_ns + plan.connect_seconds * NANO
        cause = FailureClass.TLS if exchange.shaking else FailureClass.CONNECT
    elif last_ns is not None:
        sooner_ns, cause = last_ns + plan.stall_seconds * NANO, FailureClass.STALL_TIMEOUT
    elif plan.ttft_seconds is not None:
        sooner_ns = start + plan.ttft_seconds * NANO
        silent = answer.headers_ns is None
        cause = FailureClass.HEADER_TIMEOUT if silent else FailureClass.TTFT_TIMEOUT
    else:
        return until_ns, late
    return (sooner_ns, cause) if sooner_ns < until_ns else (until_ns, late)


def cut(exchange: Exchange[Answered], error: OSError | None, now: int) -> Outcome:
    """Return the class of a connection that ended under its exchange, by FIN if no error."""
    answer = exchange.answer
    detail = "closed by the peer" if error is None else os.strerror(error.errno or 0)
    if answer.status is not None and answer.status >= 300:
        return answer.refusal()[0] or FailureClass.MALFORMED, detail
    if exchange.shaking or isinstance(error, ssl.SSLError):
        return FailureClass.TLS, str(error or detail)
    young = now - (exchange.send_ns or now) < STALE_NS
    if exchange.reused and not answer.received and young:
        return FailureClass.STALE_KEEPALIVE, detail
    if error is None:
        return FailureClass.FIN_MIDSTREAM, detail
    return FailureClass.RESET_MIDSTREAM, detail
