"""Asks a peer over HTTP and reads its answer within bounds; the only importer of httpx.

Whatever a peer does comes back as a ``Page``: with its content, or with the reason why there is
none. One exchange has one deadline for all of it, from the name's resolution to the last byte, and
a limit of bytes as they come over the wire. No redirect is followed, nothing is decompressed, no
cookie is kept and no proxy of the environment asked: each of them would let the peer, or somebody
else, decide what we talk to or how much memory we need.

It lies below ``endpoint`` and ``prometheus``: both ask through it, and neither knows the other.
"""

import json
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeAlias

import httpcore
import httpx

# Of a test instead of the network.
Transport: TypeAlias = httpx.BaseTransport

WIRE_BYTES: Final = 4 << 20
"""Sixteen thousand streamed tokens, or the metrics of forty engines; read as JSON it may become
thirty times as much in memory."""
HEADER_LINES: Final = 256
JSON_VALUES: Final = 500_000
"""Of one document; a hundred bytes each in memory."""
_ATTEMPT_SECONDS: Final = 5.0
"""Longest wait for one of several addresses, so that the next gets its turn."""
_READ_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a peer answered. ``status`` is None when no response line came.

    ``error`` is None for an answer that arrived whole and in plain form, else what broke it, after
    its kind: connect, deadline, size, encoding, reset or protocol. ``headers`` have lower-case
    names; ``content`` is what arrived, as it came.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    error: str | None = None


class Reader:
    """A client of one base URL; connections are kept between exchanges, up to ``kept_alive``."""

    def __init__(  # noqa: PLR0913 - one parameter is one bound, or one part of the way
        self,
        base_url: str,
        *,
        deadline_seconds: float,
        wire_bytes: int = WIRE_BYTES,
        trusted: ssl.SSLContext | None = None,
        server_name: str = "",
        kept_alive: int = 0,
        transport: Transport | None = None,
    ) -> None:
        """Name the peer; ``trusted`` vouches for an https one, default: the usual authorities.

        Its certificate must bear ``server_name``; empty: the host of the URL.
        """
        self._base_url = base_url
        self._deadline_seconds, self._wire_bytes = deadline_seconds, wire_bytes
        if trusted is None and base_url.startswith("https:"):
            trusted = httpx.create_ssl_context(trust_env=False)
        self._transport = transport or _Network(trusted, server_name, kept_alive)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Make one exchange; the answer is data, however it went."""
        # Compressed events would be buffered by whoever compresses them.
        sent = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "hotfire"}
        request = httpx.Request(
            method, self._base_url + path, headers=sent | dict(headers or {}), content=content
        )
        spending = _Spending(self._deadline_seconds, self._wire_bytes)
        answer = _Answer()
        token = _SPENDING.set(spending)
        try:
            self._take(request, answer, spending)
        except _Spent as spent:
            answer.error = str(spent)
        except (*_FAILURES, ValueError, httpx.StreamError) as error:
            answer.error = f"{_kind(error)}: {str(error) or type(error).__name__}"
        finally:
            _SPENDING.reset(token)
        return answer.page()

    def _take(self, request: httpx.Request, answer: "_Answer", spending: "_Spending") -> None:
        response = self._transport.handle_request(request)
        try:
            answer.begin(response)
            for chunk in _chunks(response):
                # What a test stands for has no wire to count at.
                if len(answer.content) + len(chunk) > self._wire_bytes:
                    spending.take(self._wire_bytes + 1)
                answer.content += chunk
                spending.seconds_left()
        finally:
            response.close()


def get(
    url: str,
    *,
    deadline_seconds: float,
    wire_bytes: int = WIRE_BYTES,
    trusted: ssl.SSLContext | None = None,
) -> Page:
    """Fetch one URL on a connection of its own."""
    reader = Reader(url, deadline_seconds=deadline_seconds, wire_bytes=wire_bytes, trusted=trusted)
    with reader:
        return reader.ask("GET", "")


def json_of(content: str | bytes | bytearray) -> object:
    """Return a peer's JSON document.

    Raises:
        ValueError: it is none, or would need more memory than any answer is worth.
    """
    marks = (",", "{", "[") if isinstance(content, str) else (b",", b"{", b"[")
    values = sum(map(content.count, marks))  # type: ignore[arg-type]
    if values > JSON_VALUES:
        raise ValueError(f"more than {JSON_VALUES:,} values")
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


class _Answer:
    """A response as it comes in; what has arrived survives whatever breaks it."""

    def __init__(self) -> None:
        self.error: str | None = None
        self.content = bytearray()
        self._status: int | None = None
        self._headers: dict[str, str] = {}

    def begin(self, response: httpx.Response) -> None:
        self._status = response.status_code
        if len(response.headers.raw) > HEADER_LINES:
            raise _Spent(f"size: more than {HEADER_LINES} header lines")
        self._headers = {name.lower(): value for name, value in response.headers.items()}
        encoding = self._headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            self.error = f"encoding: {encoding[:40]}, though identity was asked for"

    def page(self) -> Page:
        return Page(
            status=self._status,
            headers=self._headers,
            content=bytes(self.content),
            error=self.error,
        )


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("an answer without a stream")
    yield from response.stream


class _Spent(Exception):  # noqa: N818 - as a sentence: the exchange is spent
    """Nothing is left of what an exchange may use; the message is the page's error."""


class _Spending:
    """What one exchange may still use."""

    def __init__(self, seconds: float, wire_bytes: int) -> None:
        self._seconds, self._until = seconds, time.monotonic() + seconds
        self._wire_bytes, self._bytes_left = wire_bytes, wire_bytes

    def seconds_left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.too_late()
        return left

    def take(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise _Spent(f"size: the answer is longer than {self._wire_bytes:,} bytes")

    def too_late(self) -> _Spent:
        return _Spent(f"deadline: no whole answer within {self._seconds:g} s")


# Of the exchange that this thread is at: the sockets below a pool are handed from one to the next.
_SPENDING: ContextVar[_Spending] = ContextVar("_SPENDING")


class _Network(httpx.BaseTransport):
    """HTTP/1.1 over sockets that keep to the spending of the exchange at hand."""

    def __init__(self, trusted: ssl.SSLContext | None, server_name: str, kept_alive: int) -> None:
        self._named = {"sni_hostname": server_name} if server_name else {}
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted,
            max_keepalive_connections=kept_alive,
            keepalive_expiry=5.0,
            network_backend=_Sockets(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
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
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer.stream))

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - httpcore promises an iterable only
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()


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
        spending = _SPENDING.get()
        trouble: OSError = OSError(f"{host} has no address")
        for address in _addresses(host, port, spending):
            try:
                wait = min(_ATTEMPT_SECONDS, spending.seconds_left())
                connection = socket.create_connection(address, timeout=wait)
            except OSError as error:
                trouble = error
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Stream(connection)
        raise httpcore.ConnectError(str(trouble)) from trouble


def _addresses(host: str, port: int, spending: _Spending) -> list[tuple[str, int]]:
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
        spending = _SPENDING.get()
        with _within(self._socket, spending, httpcore.ReadError):
            data = self._socket.recv(min(max_bytes, _READ_BYTES))
        spending.take(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _within(self._socket, _SPENDING.get(), httpcore.WriteError):
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        with _within(self._socket, _SPENDING.get(), httpcore.ConnectError):
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
    connection: socket.socket, spending: _Spending, failure: type[Exception]
) -> Iterator[None]:
    connection.settimeout(spending.seconds_left())
    try:
        yield
    except TimeoutError as error:
        raise spending.too_late() from error
    except OSError as error:
        raise failure(str(error)) from error


_UNCONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpcore.ConnectError)
_RESET: Final = (httpx.NetworkError, httpcore.NetworkError)
_LATE: Final = (httpx.TimeoutException, httpcore.TimeoutException)
_FAILURES: Final = (httpx.HTTPError, httpcore.ProtocolError, *_RESET, *_LATE)


def _kind(error: Exception) -> str:
    kinds = ((_UNCONNECTED, "connect"), (_LATE, "deadline"), (_RESET, "reset"))
    return next((word for kind, word in kinds if isinstance(error, kind)), "protocol")
