"""The connections of a load: opened to one address after the other, watched, kept while idle."""

import contextlib
import fcntl
import os
import resource
import select
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from errno import EINPROGRESS
from typing import Final

from hotfire.traffic.wire.answer import AnswerParser
from hotfire.traffic.wire.clock import NANO
from hotfire.traffic.wire.connection import Address, Connection, Stage
from hotfire.traffic.wire.exchange import Exchange
from hotfire.traffic.wire.reader import Reader

WRITE = 4  # EPOLLOUT; gevent takes the name out of ``select``
OTHER_FILES: Final = 64
"""Files that a process has open beside its connections, at most, as a rule."""


def make_room(fd: int, count: int) -> None:
    """Have the kernel keep room for so many more open files, up to the limit of this process.

    Its table doubles when it is full. In a process of several threads whoever opens the file too
    many waits for that, ten to thirty milliseconds: in a load it would be a request that is late.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError):
        os.close(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, min(count + OTHER_FILES, most) - 1))


class Connections:
    """Every connection that is open or being opened, and which of them wait for an exchange.

    A new one goes to the first address that takes it, tried in their order; each has an equal part
    of ``connect_seconds``.
    """

    def __init__(
        self,
        epoll: "select.epoll",
        reader: Reader,
        *,
        addresses: Sequence[Address],
        connect_seconds: float,
        at_once: int,
        give_up: Callable[[Connection, str], None],
    ) -> None:
        """Begin with none; ``give_up`` is told of one that no address takes, and why.

        Of ``at_once`` no one waits until the kernel has room for it.
        """
        make_room(epoll.fileno(), at_once)
        self._epoll = epoll
        self._reader = reader
        self._addresses = tuple(addresses)
        self.attempt_ns = round(connect_seconds * NANO / len(self._addresses))
        self._give_up = give_up
        self._open: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._again: deque[tuple[Exchange[AnswerParser], tuple[Address, ...]]] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open.values()))

    def of(self, fd: int) -> Connection | None:
        """Return the connection of a file descriptor."""
        return self._open.get(fd)

    # Opening.

    def connect(self, exchange: Exchange[AnswerParser]) -> None:
        """Begin to open one for an exchange."""
        self._connect(exchange, self._addresses)

    def _connect(self, exchange: Exchange[AnswerParser], addresses: tuple[Address, ...]) -> None:
        now = time.monotonic_ns()
        address, others = addresses[0], addresses[1:]
        connection = Connection(address, others, exchange=exchange, attempt_ns=now)
        self._open[connection.fd] = connection
        self.watch(connection, WRITE)
        code = connection.socket.connect_ex(address)
        if code not in (0, EINPROGRESS):
            self.try_next(connection, os.strerror(code))

    def try_next(self, connection: Connection, why: str) -> None:
        """Give one address up for the next, or the whole exchange if there is none."""
        exchange = connection.exchange
        if exchange and connection.others:
            connection.exchange = None
            self.drop(connection)
            self._again.append((exchange, connection.others))
        else:
            self._give_up(connection, why)

    def connect_again(self) -> None:
        """Go on to the next address where one was given up."""
        while self._again:
            self._connect(*self._again.popleft())

    def attempt_ends_ns(self, connection: Connection) -> int | None:
        """Return when the next address has its turn; None: this one is open, or the last."""
        trying = connection.stage is Stage.CONNECTING and connection.others
        return connection.attempt_ns + self.attempt_ns if trying else None

    # Between exchanges.

    def keep(self, connection: Connection) -> None:
        """Keep one for the next exchange."""
        self._idle.append(connection)

    def take_idle(self) -> Connection | None:
        """Return the idle connection used last that is still alive."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
            self.drop(connection)
        return None

    def forget(self, connection: Connection) -> None:
        """Close an idle one."""
        self._idle.remove(connection)
        self.drop(connection)

    # Any.

    def watch(self, connection: Connection, interest: int) -> None:
        """Have the loop woken by these events of its socket, and by no others."""
        if connection.interest == interest:
            return
        if connection.interest:
            self._epoll.modify(connection.fd, interest)
        else:
            self._epoll.register(connection.fd, interest)
        connection.interest = interest

    def drop(self, connection: Connection) -> None:
        """Close one."""
        self._open.pop(connection.fd, None)
        self._reader.detach(connection.fd)
        self._epoll.unregister(connection.fd)
        connection.socket.close()
