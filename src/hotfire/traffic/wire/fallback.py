"""The same load through geventhttpclient, one greenlet a request: a check on the reactor.

It reads each answer with the library's own HTTP parser and each event with ``answer.sse`` and
json, so that a mistake of the reactor's reading shows as a difference. It costs several times as
much, opens to one address at a time with the library's rules, and cannot tell a reset before the
first byte from a close. Only the load process imports this module: it needs gevent.
"""

import select
import time
from collections.abc import Callable, Sequence
from socket import IPPROTO_TCP, TCP_NODELAY
from typing import Any

import gevent
from gevent import ssl as gevent_ssl
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse

from hotfire.answer import served_by
from hotfire.answer.sse import Parser
from hotfire.answer.transcript import (
    Outcome,
    Transcript,
    foreign_coding,
    not_asked_for,
    refused,
)
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.wire import tls
from hotfire.traffic.wire.clock import NANO, Anchor
from hotfire.traffic.wire.exchange import Exchange, Freed, Rows, cut, overdue
from hotfire.traffic.wire.measurements import SWEEP_NS, TICK_NS, Measurements
from hotfire.traffic.wire.orders import Order
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.request import Requests


class GivenUpError(BaseException):
    """Thrown into a greenlet whose request has taken too long; not for any handler of errors."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Alive:
    """A pool's own test of an idle socket uses select, which fails beyond descriptor 1023."""

    reuse = True

    def _is_socket_alive(self, sock: Any) -> bool:  # noqa: ANN401 - gevent's socket
        if not self.reuse:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def after_connect(self, sock: Any) -> None:  # noqa: ANN401 - gevent's socket
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        gevent.getcurrent().fresh = True


class PlainPool(Alive, ConnectionPool):
    """Idle connections in plain text."""


class SecurePool(Alive, SSLConnectionPool):
    """Idle connections through TLS."""


class Reading(HTTPSocketPoolResponse):
    """One answer; the library reads it, and this keeps what the row needs."""

    def __init__(self, exchange: "Exchange[AnswerState]", sock: Any, pool: ConnectionPool) -> None:  # noqa: ANN401
        self._told = exchange.answer
        super().__init__(sock, pool=pool, method="POST")

    def feed(self, data: str | bytes) -> None:
        """Take what was received; nothing means that the peer has closed."""
        self._told.received |= bool(data)
        self._told.closed = not data
        super().feed(data)


class AnswerState:
    """What an answer has shown so far; the counterpart of ``answer.Answer``."""

    def __init__(self) -> None:
        self.said = Transcript()
        self.received = self.closed = False
        self.status: int | None = None
        self.served_by: str | None = None
        self.headers_ns: int | None = None
        self.body = b""

    def refusal(self) -> Outcome:
        """Return the class of a status that is not 2xx."""
        return refused(self.status or 0, self.body)


class Fallback:
    """Sends orders and reports each as one ``Request``, as ``reactor.Reactor`` does."""

    def __init__(
        self,
        plan: LoadPlan,
        sink: Callable[[Request], None],
        *,
        addresses: Sequence[tuple[str, int]],
        anchor: Anchor,
        start_ns: int,
        freed: Freed | None = None,
    ) -> None:
        self.plan = plan
        self._requests = Requests(plan)
        self._rows = Rows(
            plan,
            sink,
            anchor=anchor,
            start_ns=start_ns,
            requests=self._requests,
            freed=freed,
        )
        self._pool = pool(plan, addresses[0])
        self._running: dict[Any, Exchange[AnswerState]] = {}
        self._abandoned = False
        self.submitted = self.in_flight = 0
        self.measured = Measurements("geventhttpclient")

    @property
    def reported(self) -> int:
        """Requests that have a row."""
        return self._rows.reported

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished."""
        return self.reported < self.submitted

    ahead_ns = 0

    def recall(self, after_ns: int) -> int:
        """Take nothing back: what was handed over is on its way."""
        return 0

    def submit(self, order: Order) -> None:
        """Hand over one request; it is sent as soon as this greenlet yields."""
        self.submitted += 1
        gevent.spawn(self._serve, order)

    def abandon(self) -> None:
        """End every unfinished request as censored, then leave ``run``."""
        self._abandoned = True

    def run(self) -> None:
        """Give up what takes too long, until abandoned."""
        ticks = 0
        while not self._abandoned:
            due = time.monotonic_ns() + TICK_NS
            gevent.sleep(TICK_NS / NANO)
            now = time.monotonic_ns()
            self.measured.lag_us.append(max(0, now - due) // 1000)
            ticks += 1
            if ticks % (SWEEP_NS // TICK_NS) == 0:
                self._sweep(now)
        gevent.sleep(0)  # those not yet begun end at once
        now = time.monotonic_ns()
        for greenlet, exchange in list(self._running.items()):
            self._report(exchange, (None, ""), now, censored=True)
            greenlet.kill(block=False)

    def _sweep(self, now: int) -> None:
        for greenlet, exchange in list(self._running.items()):
            if why := overdue(self.plan, exchange, now):
                greenlet.kill(GivenUpError(why), block=False)

    def _serve(self, order: Order) -> None:
        """Bring one order to its row."""
        now = time.monotonic_ns()
        self.measured.lateness_us.append(max(0, now - order.sched_ns) // 1000)
        exchange = Exchange(order, now, AnswerState())
        if self._abandoned:
            self._report(exchange, (None, ""), None, censored=True)
            return
        if self.in_flight >= self.plan.in_flight_cap:
            self._report(exchange, (FailureClass.NOT_SENT, ""), None)
            return
        self.in_flight += 1
        self._running[gevent.getcurrent()] = exchange
        try:
            outcome = self._exchange(exchange)
        except GivenUpError as given_up:
            outcome = given_up.outcome
        finally:
            self.in_flight -= 1
            del self._running[gevent.getcurrent()]
        if not self._abandoned:
            self._report(exchange, outcome, time.monotonic_ns())

    def _report(
        self,
        exchange: Exchange[AnswerState],
        outcome: Outcome,
        end_ns: int | None,
        *,
        censored: bool = False,
    ) -> None:
        self._rows.report(exchange, outcome, end_ns, censored=censored)
        self._rows.write()

    def _exchange(self, exchange: Exchange[AnswerState]) -> Outcome:
        """Send one request and read its answer; return what became of it."""
        try:
            sock = self._pool.get_socket()
        except gevent_ssl.SSLError as error:
            return FailureClass.TLS, str(error)
        except OSError as error:
            return FailureClass.CONNECT, str(error)
        now = time.monotonic_ns()
        exchange.reused = not getattr(gevent.getcurrent(), "fresh", False)
        exchange.connect_ns = None if exchange.reused else now - exchange.dispatched_ns
        try:
            data = self._requests.bytes(exchange.order.prompt_id)
            exchange.send_ns = time.monotonic_ns()
            sock.sendall(data)
            with Reading(exchange, sock, self._pool) as reading:
                return self._read(exchange.answer, reading)
        except (HTTPParseError, OSError) as error:
            return broken(exchange, error)

    def _read(self, told: AnswerState, reading: Reading) -> Outcome:
        told.headers_ns = time.monotonic_ns()
        told.status = int(reading.status_code)
        names = (name for name in served_by.HEADERS if name in reading)
        told.served_by = next((str(reading[name]) for name in names), None)
        if told.status >= 300:
            told.body = bytes(reading.read())
            return told.refusal()
        for name in ("transfer-encoding", "content-encoding"):
            if coding := foreign_coding(name, str(reading.get(name, ""))):
                return FailureClass.MALFORMED, not_asked_for(coding)
        if not self.plan.stream:
            told.said.take_whole(bytes(reading.read()), time.monotonic_ns())
            return told.said.outcome(streamed=False)
        self._events(told, reading)
        kind = str(reading.get("content-type", "")).lower()
        return told.said.outcome(content_type=kind, start=told.body)

    def _events(self, told: AnswerState, reading: Reading) -> None:
        events = Parser()
        while line := reading.readline(b"\n"):
            now = time.monotonic_ns()
            for event in events.feed(line):
                told.said.take(event.data, now, event.name)
        told.body = bytes(reading.read())


def pool(plan: LoadPlan, address: tuple[str, int]) -> ConnectionPool:
    """Return an empty pool that holds as many connections as may be in flight."""
    host, port = address
    common: dict[str, Any] = {
        "connection_timeout": plan.connect_seconds,
        "network_timeout": plan.deadline_seconds,
        "size": plan.in_flight_cap + 1,
    }
    if plan.secure:
        common["ssl_context_factory"] = lambda **_: tls.context(plan)
    kind = SecurePool if plan.secure else PlainPool
    connections = kind(host, port, plan.peer_name, port, **common)
    connections.reuse = plan.connection == "reuse"
    return connections


def broken(exchange: Exchange[AnswerState], error: Exception) -> Outcome:
    """Return the class of an answer that could not be read to its end."""
    told, now = exchange.answer, time.monotonic_ns()
    if isinstance(error, OSError):
        return cut(exchange, error, now)
    if told.closed or isinstance(error, HTTPConnectionClosed):
        return cut(exchange, None, now)
    return FailureClass.MALFORMED, f"not HTTP: {error}"
