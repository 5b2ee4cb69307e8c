"""A client of one peer: what came of each exchange is a page, and JSON is read within bounds."""

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias

import httpcore
import httpx

from hotfire.bounded.network import Network
from hotfire.bounded.spending import SPENDING, Spending, Spent
from hotfire.time_spent import taking

# Of a test instead of the network.
Transport: TypeAlias = httpx.BaseTransport

WIRE_BYTES: Final = 4 << 20
"""Sixteen thousand streamed tokens, or the metrics of forty engines; read as JSON it may become
thirty times as much in memory."""
HEADER_LINES: Final = 256
JSON_VALUES: Final = 500_000
"""Of one document; a hundred bytes each in memory."""
_UNCONNECTED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpcore.ConnectError)
_RESET: Final = (httpx.NetworkError, httpcore.NetworkError)
_LATE: Final = (httpx.TimeoutException, httpcore.TimeoutException)
_FAILURES: Final = (httpx.HTTPError, httpcore.ProtocolError, *_RESET, *_LATE)


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
        self._transport = transport or Network(trusted, server_name, kept_alive)

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
        spending = Spending(self._deadline_seconds, self._wire_bytes)
        answer = _Answer()
        token = SPENDING.set(spending)
        try:
            with taking("request", f"{method} {path.partition('?')[0]}"):
                self._take(request, answer, spending)
        except Spent as spent:
            answer.error = str(spent)
        except (*_FAILURES, ValueError, httpx.StreamError) as error:
            answer.error = f"{_kind(error)}: {str(error) or type(error).__name__}"
        finally:
            SPENDING.reset(token)
        return answer.page()

    def _take(self, request: httpx.Request, answer: "_Answer", spending: "Spending") -> None:
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
            raise Spent(f"size: more than {HEADER_LINES} header lines")
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


def _kind(error: Exception) -> str:
    kinds = ((_UNCONNECTED, "connect"), (_LATE, "deadline"), (_RESET, "reset"))
    return next((word for kind, word in kinds if isinstance(error, kind)), "protocol")
