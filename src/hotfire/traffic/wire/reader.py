"""Waits for events and reads plain tokens, which is most of what a stream consists of.

It exists twice: ``_reader.c`` needs no interpreter for it and costs a fraction of the time; it is
there if there was a C compiler when hotfire was installed. The classes here do the same where it is
not, and say what that is.
"""

import select
import struct
import time
from _socket import socket as RawSocket  # noqa: N812 - a class, whatever its case
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hotfire.answer.gaps import Gaps, PythonGaps
from hotfire.traffic.wire.clock import NANO

READ = 1  # EPOLLIN; gevent takes the names out of ``select``
CHUNK_BYTES = 16_384
TIMES = 35
"""SO_TIMESTAMPNS, option and message type alike; Python has no name for it."""
TIMES_BYTES = 64
TIME = struct.Struct("@qq").unpack
STATUS, END = b"HTTP/1.1 200", b"\r\n\r\n"

Missed = tuple[int, int, bytes | None, int]
"""File, events; bytes read, if any, and when they came; without bytes an error number or 0."""


class Plain(Protocol):
    """What a stream's plain tokens have in common; see ``plain.Template``."""

    before: bytes
    after: bytes

    def is_one(self, data: bytes) -> bool:
        """Return whether this is one chunk with one plain token."""

    def take(self, data: bytes) -> tuple[int, int]:
        """Return bytes and tokens of the whole chunks at the start that hold plain tokens only."""


class Reader(Protocol):
    """Waits for one thread on an epoll object, and reads the sockets attached to it."""

    epoch_ns: int
    """Epoch less monotonic time, to be told again when it may have changed."""

    def attach(self, socket: RawSocket, gaps: Gaps, plain: Plain | None, floor_ns: int, /) -> None:
        """Read a socket from now on, the next byte of which begins an answer or a chunk.

        Plain tokens are noted, if it is known what those look like. The first bytes that are
        anything else end that: the caller gets what was read, each piece with the time when it
        came. Nothing comes earlier than ``floor_ns``.
        """

    def detach(self, fd: int, /) -> None:
        """Leave a file to the caller; it must be told before a file is closed."""

    def poll(self, until_ns: int, /) -> list[Missed]:
        """Serve until something for the caller is urgent, or until a moment at the latest.

        The head of an answer can wait. A lazy reader is in no hurry with the end of one either.

        Raises:
            OSError: epoll failed.
        """

    def stamp(self, epoch_ns: int, floor_ns: int, /) -> int:
        """Return when bytes of this round arrived, on the monotonic clock; ``floor_ns`` is earlier.

        What was there before the last round would have been read in it, so that a step of the
        machine's clock, on which the kernel tells, moves no stamp by more than a round.
        """

    def lags_us(self) -> list[int]:
        """Return how late each tick of the timer came, as told since the last call."""


@dataclass(slots=True)
class _Stream:
    """One socket that is read."""

    socket: RawSocket
    gaps: Gaps
    plain: Plain | None
    floor_ns: int
    missed: bool = False
    """What was read is still to be handed over, so all that follows is too."""

    def noted(self, data: bytes, at_ns: int) -> bool:
        """Note the tokens in what was read; return whether there is nothing else."""
        if self.plain is None or self.missed:
            return False
        if self.plain.is_one(data):
            self.gaps.note(at_ns)
            return True
        used, tokens = self.plain.take(data)
        if not data or used < len(data):
            return False
        for _ in range(tokens):
            self.gaps.note(at_ns)
        return True


class PythonReader:
    """A reader that the interpreter runs."""

    def __init__(self, epoll: "select.epoll", *, tick_ns: int, lazy: bool) -> None:
        self.epoch_ns = 0
        self._epoll, self._step_ns, self._lazy = epoll, tick_ns, lazy
        self._streams: dict[int, _Stream] = {}
        self._missed: list[Missed] = []
        self._urgent = False
        self._lags_us: list[int] = []
        self._last_ns = self._began_ns = self._now_ns = time.monotonic_ns()
        self._tick_ns = self._now_ns + tick_ns

    def attach(self, socket: RawSocket, gaps: Gaps, plain: Plain | None, floor_ns: int, /) -> None:
        self._streams[socket.fileno()] = _Stream(socket, gaps, plain, floor_ns)

    def detach(self, fd: int, /) -> None:
        self._streams.pop(fd, None)

    def poll(self, until_ns: int, /) -> list[Missed]:
        now = 0
        while not self._urgent and now < until_ns:
            self._last_ns, self._began_ns = self._began_ns, time.monotonic_ns()
            due_ns = min(self._tick_ns, until_ns)
            ready = self._epoll.poll(max(0, due_ns - self._began_ns) / NANO)
            self._now_ns = time.monotonic_ns()
            for fd, events in ready:
                stream = self._streams.get(fd)
                if stream is None or events != READ:
                    self._miss((fd, events, None, 0), urgent=True)
                else:
                    self._read(fd, stream)
            now = time.monotonic_ns()
            if now >= self._tick_ns:
                self._lags_us.append((now - self._tick_ns) // 1000)
                self._tick_ns = now + self._step_ns
        missed, self._missed, self._urgent = self._missed, [], False
        for fd, *_ in missed:
            self.detach(fd)
        return missed

    def _miss(self, missed: Missed, *, urgent: bool) -> None:
        self._missed.append(missed)
        self._urgent = self._urgent or urgent

    def _read(self, fd: int, stream: "_Stream") -> None:
        try:
            data, told, _, _ = stream.socket.recvmsg(CHUNK_BYTES, TIMES_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._miss((fd, READ, None, error.errno or 0), urgent=True)
            return
        stream.floor_ns = at_ns = arrived(self, told, stream.floor_ns)
        if not stream.noted(data, at_ns):
            stream.missed = True
            can_wait = self._lazy if stream.plain else is_head(data)
            self._miss((fd, READ, data, at_ns), urgent=not (data and can_wait))

    def stamp(self, epoch_ns: int, floor_ns: int, /) -> int:
        at_ns = epoch_ns - self.epoch_ns
        if floor_ns <= at_ns <= self._now_ns and self._last_ns <= at_ns:
            return at_ns
        return min(max(at_ns, floor_ns, self._last_ns), time.monotonic_ns())

    def lags_us(self) -> list[int]:
        told, self._lags_us = self._lags_us, []
        return told


def is_head(data: bytes) -> bool:
    """Return whether this is the whole head of an answer that goes on, and nothing else."""
    return data.startswith(STATUS) and data.find(END) == len(data) - len(END)


def arrived(reader: Reader, told: list[tuple[int, int, bytes]], floor_ns: int) -> int:
    """Return when bytes just received arrived, as the kernel told; now if it did not."""
    if not told:
        return time.monotonic_ns()
    seconds, nanoseconds = TIME(told[0][2])
    return reader.stamp(seconds * NANO + nanoseconds, floor_ns)


class Implementation(NamedTuple):
    """One of the two, by name."""

    name: str
    gaps: Callable[[], Gaps]
    reader: Callable[..., Reader]
    """Takes the epoll object, ``tick_ns`` of its timer, and whether it is ``lazy``."""


PYTHON = Implementation("python", PythonGaps, PythonReader)
COMPILED: Implementation | None = None
try:
    from hotfire.traffic.wire import _reader
except ImportError:
    pass
else:
    COMPILED = Implementation("compiled", _reader.Gaps, _reader.Reader)


def implementation(client: str) -> Implementation:
    """Return what a plan's ``client`` asks for; "reactor" takes the faster one that is there."""
    return COMPILED if COMPILED and client == "reactor" else PYTHON
