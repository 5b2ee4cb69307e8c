"""HTTP/1.1 over sockets that keep to what the exchange at hand may spend."""

import errno
import queue
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from hotfire.bounded.spending import SPENDING, Spending
from hotfire.errors import HarnessError

_ATTEMPT_SECONDS: Final = 5.0
"""Longest wait for one of several addresses, so that the next gets its turn."""
_READ_BYTES: Final = 1 << 16


_OURS: Final = {
    *(errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS),
    errno.EADDRNOTAVAIL,
}
"""Troubles of this machine or of hotfire itself, whatever the peer does."""


class Network(httpx.BaseTransport):
    """HTTP/1.1 over sockets that keep to the spending of the exchange at hand.

    Threads may share it: an exchange has its connection to itself until its answer is closed. (A
    common pool of the library closes an idle connection that it has just lent to another thread.)
    """

    def __init__(self, trusted: ssl.SSLContext | None, server_name: str, kept_alive: int) -> None:
        self._named = {"sni_hostname": server_name} if server_name else {}
        self._trusted, self._kept_alive = trusted, kept_alive
        self._idle: deque[httpcore.ConnectionPool] = deque()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if connection := self._idle_one():
            try:
                return self._exchange(connection, request)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
                if not _ended_while_idle(error):
                    raise
        return self._exchange(self._new(), request)

    def _exchange(
        self, connection: httpcore.ConnectionPool, request: httpx.Request
    ) -> httpx.Response:
        url = request.url
        try:
            answer = connection.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=self._named,
                )
            )
        except BaseException:
            connection.close()
            raise
        stream = _Body(answer.stream, closed=lambda: self._keep(connection))
        return httpx.Response(answer.status, headers=answer.headers, stream=stream)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _idle_one(self) -> httpcore.ConnectionPool | None:
        """Take the connection that was used last, if any is idle: a pool of one."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new(self) -> httpcore.ConnectionPool:
        return httpcore.ConnectionPool(
            ssl_context=self._trusted,
            max_connections=1,
            max_keepalive_connections=min(self._kept_alive, 1),
            keepalive_expiry=5.0,
            network_backend=_Sockets(),
        )

    def _keep(self, connection: httpcore.ConnectionPool) -> None:
        if len(self._idle) < self._kept_alive and connection.connections:
            self._idle.append(connection)
        else:
            connection.close()


def _ended_while_idle(error: Exception) -> bool:
    """Return whether no byte of an answer came over a connection that had been used before.

    It was ended between two requests, so that nobody has seen the second one: clients send it
    again over a new one, as RFC 9112 has it in section 9.3.1.
    """
    if isinstance(error, httpcore.RemoteProtocolError):
        return "without sending a response" in str(error)
    return not isinstance(error, httpcore.ConnectError)


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any, closed: Callable[[], None]) -> None:  # noqa: ANN401 - httpcore promises an iterable only
        self._stream, self._closed = stream, closed

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()
        self._closed()


class _Sockets(httpcore.NetworkBackend):
    """Opens connections; the time a caller names is ignored for what its exchange has left."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        spending = SPENDING.get()
        trouble: OSError = OSError(f"{host} has no address")
        for address in _addresses(host, port, spending):
            try:
                wait = min(_ATTEMPT_SECONDS, spending.seconds_left())
                connection = socket.create_connection(address, timeout=wait)
            except OSError as error:
                _refuse_ours(error)
                trouble = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Stream(connection)
        raise httpcore.ConnectError(str(trouble)) from trouble


def _addresses(host: str, port: int, spending: Spending) -> list[tuple[str, int]]:
    """Return where a name leads to; a name server has no longer than everybody else."""
    found: queue.SimpleQueue[list[Any] | OSError] = queue.SimpleQueue()

    def look() -> None:
        try:
            found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(OSError(str(error)))

    threading.Thread(target=look, daemon=True, name="hotfire-resolve").start()
    try:
        result = found.get(timeout=spending.seconds_left())
    except queue.Empty as error:
        raise httpcore.ConnectError(f"{host} was not resolved in time") from error
    if isinstance(result, OSError):
        raise httpcore.ConnectError(str(result)) from result
    return [entry[4][:2] for entry in result]


class _Stream(httpcore.NetworkStream):
    """One connection; each call to the kernel waits no longer than the exchange may."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        spending = SPENDING.get()
        with _within(self._socket, spending, httpcore.ReadError):
            data = self._socket.recv(min(max_bytes, _READ_BYTES))
        spending.take(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _within(self._socket, SPENDING.get(), httpcore.WriteError):
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        with _within(self._socket, SPENDING.get(), httpcore.ConnectError):
            try:
                secured = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
            except BaseException:
                self.close()
                raise
        return _Stream(secured)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "is_readable":
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        return None


@contextmanager
def _within(
    connection: socket.socket, spending: Spending, failure: type[Exception]
) -> Iterator[None]:
    try:
        connection.settimeout(spending.seconds_left())
        yield
    except TimeoutError as error:
        raise spending.too_late() from error
    except OSError as error:
        _refuse_ours(error)
        raise failure(str(error)) from error


def _refuse_ours(error: OSError) -> None:
    if error.errno in _OURS:
        raise HarnessError(f"a connection failed on this side: {error}") from error
