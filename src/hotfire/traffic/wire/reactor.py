"""One epoll loop that sends requests and reads their streams; it knows neither Locust nor gevent.

The loop blocks in epoll alone, in a thread of its own.
"""

import os
import select
import time
from collections.abc import Callable, Sequence

from hotfire.answer.transcript import Outcome
from hotfire.measure.history import FailureClass, Request
from hotfire.traffic.wire import stamping, tls
from hotfire.traffic.wire.answer import AnswerParser
from hotfire.traffic.wire.clock import NANO, Anchor, clock_offset_ns
from hotfire.traffic.wire.connection import Address, Connection, Stage
from hotfire.traffic.wire.connections import WRITE, Connections
from hotfire.traffic.wire.exchange import Exchange, Freed, Rows, cut, limit, overdue
from hotfire.traffic.wire.measurements import SWEEP_NS, TICK_NS, Measurements
from hotfire.traffic.wire.orders import Order, Orders
from hotfire.traffic.wire.reader import READ, Missed, arrived, implementation
from hotfire.traffic.workload.plan import LoadPlan
from hotfire.traffic.workload.request import Requests

AHEAD_NS = 4 * SWEEP_NS
LOOK_SECONDS = 1.0


class Reactor:
    """Sends orders, each at its time, and reports each as one ``Request`` to the sink.

    ``submit``, ``recall`` and ``abandon`` may be called from another thread than ``run``.
    """

    def __init__(  # noqa: PLR0913 - all but two by name
        self,
        plan: LoadPlan,
        sink: Callable[[Request], None],
        *,
        addresses: Sequence[Address],
        anchor: Anchor,
        start_ns: int,
        freed: Freed | None = None,
        epoll: "Callable[[], select.epoll] | None" = None,
    ) -> None:
        self.plan = plan
        requests = Requests(plan)
        self._rows = Rows(
            plan,
            sink,
            anchor=anchor,
            start_ns=start_ns,
            requests=requests,
            freed=freed,
        )
        self._tls = tls.context(plan) if plan.secure else None
        self.in_flight = 0
        self._epoll = (epoll or select.epoll)()
        # The loop looks at its orders after every event, and at each sweep at the latest.
        self._orders = Orders(requests, look_ns=SWEEP_NS + TICK_NS)
        self._epoll.register(self._orders.wake, READ)
        self._stamping = stamping.keep()
        self._kit = implementation(plan.client)
        self.measured = Measurements(self._kit.name)
        self._reader = self._kit.reader(self._epoll, tick_ns=TICK_NS, lazy=plan.mode == "open")
        self._reader.epoch_ns = clock_offset_ns()
        self._connections = Connections(
            self._epoll,
            self._reader,
            addresses=addresses,
            connect_seconds=plan.connect_seconds,
            at_once=plan.in_flight_cap,
            give_up=self._not_connected,
        )
        self._sweep_ns = time.monotonic_ns() + SWEEP_NS
        self._look_ns = 0
        limits = (LOOK_SECONDS, plan.ttft_seconds, plan.stall_seconds, plan.deadline_seconds)
        shortest = round(min(one for one in limits if one is not None) * NANO)
        self._shortest_ns = min(shortest, self._connections.attempt_ns)
        self._abandoned = False
        self._closed = False

    # From outside.

    ahead_ns = AHEAD_NS
    """How long before its time an order may be handed over, so that no other thread need wake."""

    def submit(self, order: Order) -> None:
        """Hand over one request, which is due no earlier than those before it."""
        self._orders.put(order)

    def recall(self, after_ns: int) -> int:
        """Take back what is due later; return how many requests that were."""
        return self._orders.recall(after_ns)

    @property
    def submitted(self) -> int:
        """Requests handed over and not taken back."""
        return self._orders.put_count

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
        self._orders.rouse()

    def run(self) -> None:
        """Serve until abandoned."""
        while not self._closed:
            self.turn()

    # The loop.

    def turn(self) -> None:
        """Wait for the next events, at most to the next sweep, and handle them."""
        orders = self._orders
        missed = self._reader.poll(min(self._sweep_ns, orders.due_ns))
        orders.awake = True
        self._on_missed(missed)
        orders.awake = False  # one that comes from here on must wake the loop
        # A new socket takes the number of a closed one, so that none is opened before every event
        # of this round has met its own.
        while order := orders.take_due():
            self._dispatch(order)
        self._rows.write()
        now = time.monotonic_ns()
        if now >= self._sweep_ns:
            self._sweep(now)
        self._connections.connect_again()
        if self._abandoned:
            self._close()

    def _on_missed(self, missed: list[Missed]) -> None:
        """Handle what the reader leaves to us."""
        for fd, events, data, number in missed:
            connection = self._connections.of(fd)
            if connection is None:
                if fd == self._orders.wake:
                    os.eventfd_read(fd)
            elif data is not None:
                self._on_data(connection, data, number)
            elif number:
                self._lost(connection, OSError(number, os.strerror(number)))
            else:
                self._on_event(connection, events)

    def _sweep(self, now: int) -> None:
        """Note how late the timer's ticks came; see to what may have taken too long by now."""
        self._sweep_ns = now + SWEEP_NS
        self._reader.epoch_ns = clock_offset_ns()
        self.measured.lag_us.extend(self._reader.lags_us())
        if now >= self._look_ns:
            self._look(now)

    def _look(self, now: int) -> None:
        """Give up what has taken too long, and note when the next may have.

        What begins from now on, or goes on, has at least the shortest of all limits.
        """
        self._look_ns = now + self._shortest_ns
        for connection in self._connections:
            exchange = connection.exchange
            if exchange is None:
                continue
            next_ns = self._connections.attempt_ends_ns(connection)
            if why := overdue(self.plan, exchange, now):
                self._finish(connection, why, now)
            elif next_ns is not None and now >= next_ns:
                self._connections.try_next(connection, "no answer")
            else:
                soonest, _ = limit(self.plan, exchange)
                if next_ns is not None:
                    soonest = min(soonest, next_ns)
                self._look_ns = min(self._look_ns, int(soonest))

    def _dispatch(self, order: Order) -> None:
        now = time.monotonic_ns()
        self.measured.lateness_us.append(max(0, now - order.sched_ns) // 1000)
        exchange = Exchange(order, now, self._answer())
        if self.in_flight >= self.plan.in_flight_cap:
            self._rows.report(exchange, (FailureClass.NOT_SENT, ""), None)
            return
        self.in_flight += 1
        connection = self._connections.take_idle()
        if connection:
            exchange.reused = True
            connection.exchange = exchange
            self._send(connection, exchange)
        else:
            self._connections.connect(exchange)

    def _answer(self) -> AnswerParser:
        return AnswerParser(streamed=self.plan.stream, gaps=self._kit.gaps())

    # Connections.

    def _not_connected(self, connection: Connection, why: str) -> None:
        self._finish(connection, (FailureClass.CONNECT, why), time.monotonic_ns())

    def _on_event(self, connection: Connection, events: int) -> None:
        if connection.stage is Stage.CONNECTING:
            self._on_connected(connection)
            return
        if connection.unsent and events & WRITE:
            self._transmit(connection)
        if events & ~WRITE and self._connections.of(connection.fd):
            self._receive(connection)

    def _on_connected(self, connection: Connection) -> None:
        exchange = connection.exchange
        if (code := connection.error()) or exchange is None:
            self._connections.try_next(connection, os.strerror(code))
        elif self._tls is None:
            self._on_open(connection, exchange)
        else:
            connection.stage = Stage.SHAKING
            exchange.shaking = True
            connection.tls = tls.Session(self._tls, self.plan.peer_name)
            connection.unsent = connection.tls.shake()
            self._transmit(connection)

    def _on_open(self, connection: Connection, exchange: Exchange[AnswerParser]) -> None:
        connection.stage = Stage.OPEN
        connection.plain = connection.tls is None
        exchange.shaking = False
        exchange.connect_ns = time.monotonic_ns() - exchange.dispatched_ns
        self._send(connection, exchange)

    # Sending and receiving.

    def _send(self, connection: Connection, exchange: Exchange[AnswerParser]) -> None:
        exchange.send_ns = time.monotonic_ns()
        connection.queue(exchange.order.data)
        self._follow(connection, exchange.answer, exchange.send_ns)
        self._transmit(connection)

    def _transmit(self, connection: Connection) -> None:
        try:
            connection.transmit()
        except OSError as error:
            self._lost(connection, error)
            return
        self._connections.watch(connection, READ | WRITE if connection.unsent else READ)

    def _arrived(self, connection: Connection, told: list[tuple[int, int, bytes]]) -> int:
        """Return when bytes of this round arrived."""
        exchange, floor_ns = connection.exchange, 0
        if exchange:
            answer = exchange.answer
            floor_ns = answer.said.last_ns or answer.headers_ns or exchange.send_ns or 0
        return arrived(self._reader, told, floor_ns)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.receive()
        except OSError as error:
            self._lost(connection, error)
            return
        if data is not None:
            self._on_data(connection, data, self._arrived(connection, connection.arrival))
        elif connection.tls:
            self._on_records(connection, connection.tls)

    def _on_data(self, connection: Connection, data: bytes, now: int) -> None:
        """Take what was received at that time; nothing means that the peer has closed."""
        exchange = connection.exchange
        if not data:
            self._lost(connection, None)
        elif exchange is None:
            self._connections.forget(connection)  # it sends what nobody asked for
        else:
            answer = exchange.answer
            answer.feed(data, now)
            if answer.ended:
                self._finish(connection, answer.outcome(), now)
            else:
                self._follow(connection, answer, now)

    def _follow(self, connection: Connection, answer: AnswerParser, now: int) -> None:
        """Leave what comes from now on to the reader, unless it is encrypted."""
        if connection.plain:
            self._reader.attach(connection.socket, answer.said.gaps, answer.plain, now)

    def _on_records(self, connection: Connection, session: tls.Session) -> None:
        """Go on after TLS records that held no plain text."""
        exchange = connection.exchange
        if connection.unsent:
            self._transmit(connection)
        if connection.stage is Stage.SHAKING and session.established and exchange:
            self._on_open(connection, exchange)

    def _lost(self, connection: Connection, error: OSError | None) -> None:
        """Handle the end of a connection, by FIN (no error) or by an error such as RST."""
        exchange = connection.exchange
        now = time.monotonic_ns()
        if exchange is None:
            self._connections.forget(connection)
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
            self._connections.keep(connection)
        else:
            self._connections.drop(connection)
        self.in_flight -= 1
        exchange.answer.let_go()
        self._rows.report(exchange, outcome, now)

    def _close(self) -> None:
        """Report what is unfinished as censored and close every socket."""
        now = time.monotonic_ns()
        self.measured.lag_us.extend(self._reader.lags_us())
        for order in self._orders.close():
            unsent = Exchange(order, now, self._answer())
            self._rows.report(unsent, (None, ""), None, censored=True)
        for connection in self._connections:
            exchange, connection.exchange = connection.exchange, None
            if exchange:
                self.in_flight -= 1
                self._rows.report(exchange, (None, ""), now, censored=True)
            self._connections.drop(connection)
        self._rows.write()
        self._epoll.close()
        self._stamping.close()
        self._closed = True
