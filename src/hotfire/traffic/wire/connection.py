"""One non-blocking connection, in plain text or through TLS.

Sockets come from ``_socket``, which gevent never patches. The kernel tells of what it received when
it came, so that reading it later does not move its time.
"""

from _socket import socket as RawSocket  # noqa: N812 - a class, whatever its case
from enum import Enum
from socket import AF_INET, AF_INET6, IPPROTO_TCP, MSG_PEEK, SO_ERROR, SOCK_STREAM, SOL_SOCKET
from socket import TCP_NODELAY as NO_DELAY

from hotfire.traffic.wire.answer import AnswerParser
from hotfire.traffic.wire.exchange import Exchange
from hotfire.traffic.wire.reader import CHUNK_BYTES, TIMES, TIMES_BYTES
from hotfire.traffic.wire.tls import Session

Address = tuple[str, int]


class Stage(Enum):
    """How far a connection has come."""

    CONNECTING = 1
    SHAKING = 2
    OPEN = 3


class Connection:
    """One socket and what is still to be sent on it; idle when it carries no exchange."""

    __slots__ = (
        "arrival", "attempt_ns", "exchange", "fd", "interest", "others", "plain", "socket",
        "stage", "tls", "unsent",
    )  # fmt: skip

    def __init__(
        self,
        address: Address,
        others: tuple[Address, ...],
        *,
        exchange: Exchange[AnswerParser],
        attempt_ns: int,
    ) -> None:
        self.socket = RawSocket(AF_INET6 if ":" in address[0] else AF_INET, SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(IPPROTO_TCP, NO_DELAY, 1)
        self.socket.setsockopt(SOL_SOCKET, TIMES, 1)
        self.fd = self.socket.fileno()
        self.exchange: Exchange[AnswerParser] | None = exchange
        self.others = others
        self.attempt_ns = attempt_ns
        self.stage = Stage.CONNECTING
        self.plain = False  # open, and what is received is what was sent
        self.tls: Session | None = None
        self.unsent = b""
        self.interest = 0
        self.arrival: list[tuple[int, int, bytes]] = []  # what the kernel told of the last bytes

    def error(self) -> int:
        """Return the error number of the attempt to connect; 0 if it succeeded."""
        return self.socket.getsockopt(SOL_SOCKET, SO_ERROR)

    def receive(self) -> bytes | None:
        """Return what has arrived, in plain text; empty at the peer's end, None for nothing yet.

        Raises:
            OSError: the connection broke; ssl.SSLError is one.
        """
        try:
            data, self.arrival, _, _ = self.socket.recvmsg(CHUNK_BYTES, TIMES_BYTES)
        except BlockingIOError:
            return None
        if self.tls is None or not data:
            return data
        if self.stage is Stage.SHAKING:
            self.unsent += self.tls.shake(data)
            return None
        text = self.tls.decrypted(data)
        self.unsent += self.tls.owed()
        return text if text or self.tls.closed else None

    def alive(self) -> bool:
        """Return whether an idle connection is open and has nothing to say."""
        if self.tls is not None:
            return self._quiet()
        try:
            self.socket.recv(1, MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _quiet(self) -> bool:
        """Take session tickets and the like; they are no answer."""
        try:
            return self.receive() is None
        except OSError:
            return False

    def queue(self, data: bytes) -> None:
        """Add to what is to be sent."""
        self.unsent += self.tls.encrypted(data) if self.tls else data

    def transmit(self) -> None:
        """Send what the socket takes.

        Raises:
            OSError: the connection broke.
        """
        try:
            sent = self.socket.send(self.unsent)
        except BlockingIOError:
            return
        self.unsent = self.unsent[sent:]
