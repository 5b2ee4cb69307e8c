"""One epoll loop that sends requests and reads their streams; it knows neither Locust nor gevent.

The loop blocks in epoll alone, in a thread of its own.
"""

import os
import select
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from errno import EINPROGRESS

from hotfire.history import FailureClass, Request
from hotfire.traffic import tls
from hotfire.traffic.answer import Answer
from hotfire.traffic.clock import NANO, Anchor
from hotfire.traffic.connection import (
    CHUNK_BYTES,
    TIME,
    TIMES_BYTES,
    Address,
    Connection,
    Stage,
)
from hotfire.traffic.exchange import Exchange, Order, Rows, cut, overdue
from hotfire.traffic.plan import LoadPlan
from hotfire.traffic.request import Requests
from hotfire.traffic.surroundings import clock_offset_ns
from hotfire.traffic.transcript import Outcome

__all__ = ["NANO", "Anchor", "Order", "Reactor"]

READ, WRITE = 1, 4  # EPOLLIN and EPOLLOUT; gevent takes the names out of ``select``
TICK_NS = 10_000_000
SWEEP_TICKS = 5


class Measurements:
    """What the reactor knows about its own fitness; microseconds."""

    def __init__(self) -> None:
        self.lag_us = array("L")
        self.lateness_us = array("L")


class Reactor:
    """Sends orders and reports each as one ``Request`` to the sink.

    ``submit`` and ``abandon`` may be called from another thread than ``run``. A new connection
    goes to the first address that takes it, tried in their order; each has an equal part of the
    plan's ``connect_seconds``.
    """

    def __init__(
        self,
        plan: LoadPlan,
        sink: Callable[[Request], None],
        *,
        addresses: Sequence[Address],
        anchor: Anchor,
        start_ns: int,
        epoll: "Callable[[], select.epoll] | None" = None,
    ) -> None:
        self.plan = plan
        self._requests = Requests(plan)
        tenant = self._requests.texts.tenant
        self._rows = Rows(plan, sink, anchor=anchor, start_ns=start_ns, tenant=tenant)
        self._addresses = tuple(addresses)
        self._attempt_ns = round(plan.connect_seconds * NANO / len(self._addresses))
        self._tls = tls.context(plan.ca_file) if plan.secure else None
        self.submitted = 0
        self.measured = Measurements()
        self.in_flight = 0
        self._epoll = (epoll or select.epoll)()
        self._orders: deque[Order] = deque()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, READ)
        self._last_ns = self._began_ns = self._now_ns = time.monotonic_ns()
        self._epoch_ns = clock_offset_ns()
        self._tick_ns = time.monotonic_ns() + TICK_NS
        self._ticks = 0
        self._abandoned = False
        self._closed = False

    # From outside.

    def submit(self, order: Order) -> None:
        """Hand over one request; it is sent at once."""
        self.submitted += 1
        self._orders.append(order)
        os.eventfd_write(self._wake, 1)

    @property
    def reported(self) -> int:
        """Requests that have a row."""
        return self._rows.reported

    @property
    def busy(self) -> bool:
        """Whether any request is unfinished."""
        return self.reported < self.submitted

    def abandon(self) -> None:
        """End every unfinished request as censored, then leave ``run``."""
        self._abandoned = True
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Serve until abandoned."""
        while not self._closed:
            self.turn()

    # The loop.

    def turn(self) -> None:
        """Wait for the next events, at most to the next tick, and handle them."""
        connections = self._connections
        self._last_ns, self._began_ns = self._began_ns, time.monotonic_ns()
        ready = self._epoll.poll(max(0, self._tick_ns - self._began_ns) / NANO)
        self._now_ns = time.monotonic_ns()
        for fd, events in ready:
            connection = connections.get(fd)
            if connection is None:
                if fd == self._wake:
                    os.eventfd_read(fd)
            elif events == READ and connection.plain:
                self._read(connection)
            else:
                self._on_event(connection, events)
        # A new socket takes the number of a closed one. An event closes no socket but its own, so
        # what it opens meets no other event; dispatching closes any idle one, so it comes after.
        while self._orders:
            self._dispatch(self._orders.popleft())
        now = time.monotonic_ns()
        if now >= self._tick_ns:
            self._on_tick(now)
        if self._abandoned:
            self._close()

    def _on_tick(self, now: int) -> None:
        self.measured.lag_us.append((now - self._tick_ns) // 1000)
        self._tick_ns = now + TICK_NS
        self._epoch_ns = clock_offset_ns()
        self._ticks += 1
        if self._ticks % SWEEP_TICKS == 0:
            self._sweep(now)

    def _sweep(self, now: int) -> None:
        """Give up what has taken too long."""
        for connection in list(self._connections.values()):
            exchange = connection.exchange
            if exchange is None:
                continue
            if why := overdue(self.plan, exchange, now):
                self._finish(connection, why, now)
            elif (
                connection.stage is Stage.CONNECTING
                and connection.others
                and now - connection.attempt_ns >= self._attempt_ns
            ):
                self._try_next(connection, "no answer")

    def _dispatch(self, order: Order) -> None:
        now = time.monotonic_ns()
        self.measured.lateness_us.append(max(0, now - order.sched_ns) // 1000)
        exchange = Exchange(order, now, Answer(streamed=self.plan.stream))
        if self.in_flight >= self.plan.in_flight_cap:
            self._rows.report(exchange, (FailureClass.NOT_SENT, ""), None)
            return
        self.in_flight += 1
        connection = self._idle_connection()
        if connection:
            exchange.reused = True
            connection.exchange = exchange
            self._send(connection, exchange)
        else:
            self._connect(exchange, self._addresses)

    # Connections.

    def _idle_connection(self) -> Connection | None:
        """Return the idle connection used last that is still alive."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            self._drop(connection)
        return None

    def _connect(self, exchange: Exchange[Answer], addresses: tuple[Address, ...]) -> None:
        now = time.monotonic_ns()
        address, others = addresses[0], addresses[1:]
        connection = Connection(address, others, exchange=exchange, attempt_ns=now)
        self._connections[connection.fd] = connection
        self._watch(connection, WRITE)
        code = connection.socket.connect_ex(address)
        if code not in (0, EINPROGRESS):
            self._try_next(connection, os.strerror(code))

    def _try_next(self, connection: Connection, why: str) -> None:
        """Give one address up for the next, or the whole exchange if there is none."""
        exchange = connection.exchange
        if exchange and connection.others:
            connection.exchange = None
            self._drop(connection)
            self._connect(exchange, connection.others)
        else:
            self._finish(connection, (FailureClass.CONNECT, why), time.monotonic_ns())

    def _watch(self, connection: Connection, interest: int) -> None:
        if connection.interest == interest:
            return
        if connection.interest:
            self._epoll.modify(connection.fd, interest)
        else:
            self._epoll.register(connection.fd, interest)
        connection.interest = interest

    def _drop(self, connection: Connection) -> None:
        self._connections.pop(connection.fd, None)
        self._epoll.unregister(connection.fd)
        connection.socket.close()

    def _on_event(self, connection: Connection, events: int) -> None:
        if connection.stage is Stage.CONNECTING:
            self._on_connected(connection)
            return
        if connection.unsent and events & WRITE:
            self._transmit(connection)
        if events & ~WRITE and connection.fd in self._connections:
            self._receive(connection)

    def _on_connected(self, connection: Connection) -> None:
        exchange = connection.exchange
        if (code := connection.error()) or exchange is None:
            self._try_next(connection, os.strerror(code))
        elif self._tls is None:
            self._on_open(connection, exchange)
        else:
            connection.stage = Stage.SHAKING
            exchange.shaking = True
            connection.tls = tls.Session(self._tls, self.plan.peer_name)
            connection.unsent = connection.tls.shake()
            self._transmit(connection)

    def _on_open(self, connection: Connection, exchange: Exchange[Answer]) -> None:
        connection.stage = Stage.OPEN
        connection.plain = connection.tls is None
        exchange.shaking = False
        exchange.connect_ns = time.monotonic_ns() - exchange.dispatched_ns
        self._send(connection, exchange)

    # Sending and receiving.

    def _send(self, connection: Connection, exchange: Exchange[Answer]) -> None:
        data = self._requests.bytes(exchange.order.prompt_id)
        exchange.send_ns = time.monotonic_ns()
        connection.queue(data)
        self._transmit(connection)

    def _transmit(self, connection: Connection) -> None:
        try:
            connection.transmit()
        except OSError as error:
            self._lost(connection, error)
            return
        self._watch(connection, READ | WRITE if connection.unsent else READ)

    def _read(self, connection: Connection) -> None:
        """Receive in plain text: what is done for almost every token."""
        exchange = connection.exchange
        try:
            data, arrival, _, _ = connection.socket.recvmsg(CHUNK_BYTES, TIMES_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, error)
            return
        if not data or exchange is None:
            self._on_data(connection, data)
            return
        answer, now = exchange.answer, self._arrived(arrival, exchange)
        answer.feed(data, now)
        if answer.ended:
            self._finish(connection, answer.outcome(), now)

    def _arrived(self, told: list[tuple[int, int, bytes]], exchange: Exchange[Answer]) -> int:
        """Return when bytes of this round arrived, as the kernel told; now if it did not.

        What was there before the last round would have been read in it, so that a step of the
        machine's clock, on which the kernel tells, moves no stamp by more than a round.
        """
        if not told:
            return time.monotonic_ns()
        seconds, nanoseconds = TIME(told[0][2])
        at: int = seconds * NANO + nanoseconds - self._epoch_ns
        answer = exchange.answer
        floor = answer.said.last_ns or answer.headers_ns or exchange.send_ns or 0
        if floor <= at <= self._now_ns and self._last_ns <= at:
            return at
        return min(max(at, floor, self._last_ns), time.monotonic_ns())

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.receive()
        except OSError as error:
            self._lost(connection, error)
            return
        if data is not None:
            self._on_data(connection, data)
        elif connection.tls:
            self._on_records(connection, connection.tls)

    def _on_data(self, connection: Connection, data: bytes) -> None:
        """Take what was received; nothing means that the peer has closed."""
        exchange = connection.exchange
        if not data:
            self._lost(connection, None)
        elif exchange is None:
            self._forget(connection)  # it sends what nobody asked for
        else:
            now = self._arrived(connection.arrival, exchange)
            exchange.answer.feed(data, now)
            if exchange.answer.ended:
                self._finish(connection, exchange.answer.outcome(), now)

    def _on_records(self, connection: Connection, session: tls.Session) -> None:
        """Go on after TLS records that held no plain text."""
        exchange = connection.exchange
        if connection.unsent:
            self._transmit(connection)
        if connection.stage is Stage.SHAKING and session.established and exchange:
            self._on_open(connection, exchange)

    def _forget(self, connection: Connection) -> None:
        self._idle.remove(connection)
        self._drop(connection)

    def _lost(self, connection: Connection, error: OSError | None) -> None:
        """Handle the end of a connection, by FIN (no error) or by an error such as RST."""
        exchange = connection.exchange
        now = time.monotonic_ns()
        if exchange is None:
            self._forget(connection)
        elif error is None and exchange.answer.closed():
            self._finish(connection, exchange.answer.outcome(), now)
        else:
            self._finish(connection, cut(exchange, error, now), now)

    # The end of an exchange.

    def _finish(self, connection: Connection, outcome: Outcome, now: int) -> None:
        exchange, connection.exchange = connection.exchange, None
        if exchange is None:
            return
        keep = self.plan.connection == "reuse" and not connection.unsent
        if keep and exchange.answer.reusable:
            self._idle.append(connection)
        else:
            self._drop(connection)
        self.in_flight -= 1
        self._rows.report(exchange, outcome, now)

    def _close(self) -> None:
        """Report what is unfinished as censored and close every socket."""
        now = time.monotonic_ns()
        while self._orders:
            unsent = Exchange(self._orders.popleft(), now, Answer())
            self._rows.report(unsent, (None, ""), None, censored=True)
        for connection in list(self._connections.values()):
            exchange, connection.exchange = connection.exchange, None
            if exchange:
                self.in_flight -= 1
                self._rows.report(exchange, (None, ""), now, censored=True)
            self._drop(connection)
        self._epoll.close()
        os.close(self._wake)
        self._closed = True
