"""One epoll loop that sends requests and reads their streams; it knows neither Locust nor gevent.

Sockets come from ``_socket``, which gevent never patches: the loop blocks in epoll alone, in a
thread of its own.
"""

import errno
import os
import select
import time
from _socket import socket as RawSocket  # noqa: N812 - a class, whatever its case
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, IPPROTO_TCP, MSG_PEEK, SO_ERROR, SOCK_STREAM, SOL_SOCKET
from socket import TCP_NODELAY as NO_DELAY
from typing import NamedTuple

from hotfire.history import FailureClass, Request
from hotfire.traffic.answer import DETAIL_LIMIT, Answer
from hotfire.traffic.plan import LoadPlan
from hotfire.traffic.request import Requests

READ, WRITE = 1, 4  # EPOLLIN and EPOLLOUT; gevent takes the names out of ``select``
CHUNK_BYTES = 65_536
NANO = 1_000_000_000
TICK_NS = 10_000_000
SWEEP_TICKS = 5
STALE_NS = NANO


class Anchor(NamedTuple):
    """The same moment on both clocks; durations are monotonic, stamps are epoch."""

    epoch_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Anchor":
        """Return the present moment."""
        return cls(time.time_ns(), time.monotonic_ns())

    def stamp(self, monotonic_ns: int) -> int:
        """Return a monotonic stamp on the epoch clock."""
        return self.epoch_ns + monotonic_ns - self.monotonic_ns

    def epoch(self, monotonic_ns: int | None) -> int | None:
        """Return the same where there may be no stamp."""
        return None if monotonic_ns is None else self.stamp(monotonic_ns)


class Order(NamedTuple):
    """One request to be sent now; ``sched_ns`` is monotonic."""

    seq: int
    sched_ns: int
    prompt_id: int


@dataclass(slots=True, eq=False)
class Exchange:
    """One request on its way. Stamps are monotonic."""

    order: Order
    dispatched_ns: int
    answer: Answer
    reused: bool = False
    connect_ns: int | None = None
    send_ns: int | None = None


@dataclass(slots=True, eq=False)
class Connection:
    """One socket; idle when it carries no exchange."""

    socket: RawSocket
    fd: int
    exchange: Exchange | None = None
    connecting: bool = False
    unsent: bytes = b""
    interest: int = 0


class Measurements:
    """What the reactor knows about its own fitness; microseconds."""

    def __init__(self) -> None:
        self.lag_us = array("L")
        self.lateness_us = array("L")


class Reactor:
    """Sends orders and reports each as one ``Request`` to the sink.

    ``submit`` and ``abandon`` may be called from another thread than ``run``.
    """

    def __init__(
        self,
        plan: LoadPlan,
        sink: Callable[[Request], None],
        *,
        address: tuple[str, int],
        anchor: Anchor,
        start_ns: int,
        epoll: "Callable[[], select.epoll] | None" = None,
    ) -> None:
        self.plan, self.sink, self.address, self.anchor = plan, sink, address, anchor
        self._requests = Requests(plan)
        self._warm_ns = start_ns + round(plan.warmup_seconds * NANO)
        self.submitted = 0
        self.reported = 0
        self.measured = Measurements()
        self.in_flight = 0
        self._family = AF_INET6 if ":" in address[0] else AF_INET
        self._epoll = (epoll or select.epoll)()
        self._orders: deque[Order] = deque()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, READ)
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
        wait = max(0, self._tick_ns - time.monotonic_ns()) / NANO
        for fd, events in self._epoll.poll(wait):
            if fd == self._wake:
                os.eventfd_read(self._wake)
                self._dispatch_all()
            elif connection := self._connections.get(fd):
                self._on_event(connection, events)
        now = time.monotonic_ns()
        if now >= self._tick_ns:
            self._on_tick(now)
        if self._abandoned:
            self._close()

    def _on_tick(self, now: int) -> None:
        self.measured.lag_us.append((now - self._tick_ns) // 1000)
        self._tick_ns = now + TICK_NS
        self._ticks += 1
        if self._ticks % SWEEP_TICKS == 0:
            self._sweep(now)

    def _sweep(self, now: int) -> None:
        """Give up what has taken too long."""
        for connection in list(self._connections.values()):
            exchange = connection.exchange
            if exchange and (why := overdue(self.plan, exchange, now)):
                self._finish(connection, why[0], why[1], now)

    def _dispatch_all(self) -> None:
        while self._orders:
            self._dispatch(self._orders.popleft())

    def _dispatch(self, order: Order) -> None:
        now = time.monotonic_ns()
        self.measured.lateness_us.append(max(0, now - order.sched_ns) // 1000)
        exchange = Exchange(order, now, Answer())
        if self.in_flight >= self.plan.in_flight_cap:
            self._report(exchange, FailureClass.NOT_SENT, "", None)
            return
        self.in_flight += 1
        connection = self._idle_connection()
        if connection:
            exchange.reused = True
            connection.exchange = exchange
            self._send(connection)
        else:
            self._connect(exchange)

    # Connections.

    def _idle_connection(self) -> Connection | None:
        """Return the idle connection used last that is still alive."""
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.socket.recv(1, MSG_PEEK)
            except BlockingIOError:
                return connection
            except OSError:
                pass
            self._drop(connection)
        return None

    def _connect(self, exchange: Exchange) -> None:
        sock = RawSocket(self._family, SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(IPPROTO_TCP, NO_DELAY, 1)
        connection = Connection(sock, sock.fileno(), exchange, connecting=True)
        self._connections[connection.fd] = connection
        self._watch(connection, WRITE)
        code = sock.connect_ex(self.address)
        if code not in (0, errno.EINPROGRESS):
            self._failed_to_connect(connection, code)

    def _failed_to_connect(self, connection: Connection, code: int) -> None:
        self._finish(connection, FailureClass.CONNECT, os.strerror(code), time.monotonic_ns())

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
        if connection.connecting:
            self._on_connected(connection)
            return
        if connection.unsent and events & WRITE:
            self._transmit(connection)
        if events & ~WRITE and connection.fd in self._connections:
            self._receive(connection)

    def _on_connected(self, connection: Connection) -> None:
        code = connection.socket.getsockopt(SOL_SOCKET, SO_ERROR)
        exchange = connection.exchange
        if code or exchange is None:
            self._failed_to_connect(connection, code)
            return
        connection.connecting = False
        exchange.connect_ns = time.monotonic_ns() - exchange.dispatched_ns
        self._send(connection)

    # Sending and receiving.

    def _send(self, connection: Connection) -> None:
        exchange = connection.exchange
        if exchange is None:
            return
        connection.unsent = self._requests.bytes(exchange.order.prompt_id)
        exchange.send_ns = time.monotonic_ns()
        self._transmit(connection)

    def _transmit(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(connection, error)
            return
        connection.unsent = connection.unsent[sent:]
        self._watch(connection, READ | WRITE if connection.unsent else READ)

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, error)
            return
        now = time.monotonic_ns()
        exchange = connection.exchange
        if exchange is None:
            # Idle: closed by the peer, or it sends what nobody asked for.
            self._idle.remove(connection)
            self._drop(connection)
        elif not data:
            self._lost(connection, None)
        else:
            exchange.answer.feed(data, now)
            if exchange.answer.ended:
                self._finish(connection, *exchange.answer.outcome(), now)

    def _lost(self, connection: Connection, error: OSError | None) -> None:
        """Handle the end of a connection, by FIN (no error) or by an error such as RST."""
        exchange = connection.exchange
        now = time.monotonic_ns()
        if exchange is None:
            self._idle.remove(connection)
            self._drop(connection)
        elif error is None and exchange.answer.closed():
            self._finish(connection, *exchange.answer.outcome(), now)
        else:
            self._finish(connection, *cut(exchange, error, now), now)

    # The end of an exchange.

    def _finish(
        self, connection: Connection, kind: FailureClass | None, detail: str, now: int
    ) -> None:
        exchange, connection.exchange = connection.exchange, None
        if exchange is None:
            return
        keep = self.plan.connection == "reuse" and not connection.unsent
        if keep and exchange.answer.reusable:
            self._idle.append(connection)
        else:
            self._drop(connection)
        self.in_flight -= 1
        self._report(exchange, kind, detail, now)

    def _report(
        self,
        exchange: Exchange,
        kind: FailureClass | None,
        detail: str,
        now: int | None,
        *,
        censored: bool = False,
    ) -> None:
        epoch = self.anchor.epoch
        answer, order = exchange.answer, exchange.order
        self.sink(
            Request(
                seq=order.seq,
                sched_ns=self.anchor.stamp(order.sched_ns),
                send_ns=epoch(exchange.send_ns),
                headers_ns=epoch(answer.headers_ns),
                first_ns=epoch(answer.first_ns),
                first_output_ns=epoch(answer.first_output_ns),
                last_ns=epoch(answer.last_ns),
                end_ns=epoch(now),
                n_in=answer.n_in,
                n_out=answer.n_out,
                n_first=answer.n_first,
                token_source="chunks" if answer.n_out is None else "usage",
                finish_reason=answer.finish_reason,
                status=answer.status,
                error_class=kind,
                detail=detail[:DETAIL_LIMIT],
                served_by=answer.served_by,
                prompt_id=order.prompt_id,
                phase="warmup" if order.sched_ns < self._warm_ns else "steady",
                conn_reused=exchange.reused,
                connect_ns=exchange.connect_ns,
                gaps_us=tuple(round(gap / 1000) for gap in answer.gaps_ns),
                censored=censored,
            )
        )
        self.reported += 1

    def _close(self) -> None:
        """Report what is unfinished as censored and close every socket."""
        now = time.monotonic_ns()
        while self._orders:
            order = self._orders.popleft()
            self._report(Exchange(order, now, Answer()), None, "", None, censored=True)
        for connection in list(self._connections.values()):
            exchange, connection.exchange = connection.exchange, None
            if exchange:
                self.in_flight -= 1
                self._report(exchange, None, "", now, censored=True)
            self._drop(connection)
        self._epoll.close()
        os.close(self._wake)
        self._closed = True


def overdue(plan: LoadPlan, exchange: Exchange, now: int) -> tuple[FailureClass, str] | None:
    """Return why an exchange is given up at this moment, if it is."""
    answer = exchange.answer
    late = _late(plan, exchange, now)
    if late is None:
        return None
    if answer.status is not None and answer.status >= 300:
        return answer.refusal()[0] or late, f"{answer.status}, and its body never ended"
    return late, "given up by the client"


def _late(plan: LoadPlan, exchange: Exchange, now: int) -> FailureClass | None:
    """Return the class of the limit that has passed."""
    answer, start = exchange.answer, exchange.order.sched_ns
    if now >= start + plan.deadline_seconds * NANO:
        return FailureClass.DEADLINE
    if exchange.send_ns is None:
        passed = now >= exchange.dispatched_ns + plan.connect_seconds * NANO
        return FailureClass.CONNECT if passed else None
    if answer.last_ns is not None:
        passed = now >= answer.last_ns + plan.stall_seconds * NANO
        return FailureClass.STALL_TIMEOUT if passed else None
    if plan.ttft_seconds is None or now < start + plan.ttft_seconds * NANO:
        return None
    return FailureClass.HEADER_TIMEOUT if answer.headers_ns is None else FailureClass.TTFT_TIMEOUT


def cut(exchange: Exchange, error: OSError | None, now: int) -> tuple[FailureClass, str]:
    """Return the class of a connection that ended under its exchange."""
    answer = exchange.answer
    detail = "closed by the peer" if error is None else os.strerror(error.errno or 0)
    if answer.status is not None and answer.status >= 300:
        return answer.refusal()[0] or FailureClass.MALFORMED, detail
    young = now - (exchange.send_ns or now) < STALE_NS
    if exchange.reused and not answer.received and young:
        return FailureClass.STALE_KEEPALIVE, detail
    if error is None:
        return FailureClass.FIN_MIDSTREAM, detail
    return FailureClass.RESET_MIDSTREAM, detail
