"""Takes spans by OTLP over gRPC, as gateways send them: as much of HTTP/2 as one method needs.

What a request's headers say is not looked at: there is one method, and whoever connects calls it.
So they need not be decoded, and those of the answer are always the same.
"""

import struct
import sys
from collections.abc import Callable, Iterator
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM = ACK = 1
END_HEADERS, PADDED = 4, 8
# ":status: 200" by its place in the static table, and "content-type" by its own.
STARTS = b"\x88\x0f\x10\x10application/grpc"
ENDS = b"\x00\x0bgrpc-status\x010"
EMPTY = bytes(5)
"""A message of no bytes, and that it is not compressed."""
Value = int | bytes


class Received(NamedTuple):
    """A span as it was received; ids in hexadecimal digits, times in epoch nanoseconds."""

    service: str
    trace: str
    span: str
    parent: str
    name: str
    kind: int
    began_ns: int
    ended_ns: int


Take = Callable[[Received], object]


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield each field of a protobuf message: its number and its value.

    Raises:
        ValueError: it is none.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"no field has the wire type {kind}")
        value, at = message[at : at + length], at + length
        yield key >> 3, int.from_bytes(value, "little") if kind in (1, 5) else value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not message[at - 1] & 0x80:
            return value, at
    raise ValueError("a number ends too early")


def spans_of(request: bytes) -> Iterator[Received]:
    """Yield the spans of a request to export some.

    Raises:
        ValueError: it is no such request.
    """
    for each in _messages(request, 1):
        service = next((name for one in _messages(each, 1) for name in _services(one)), "")
        for scope in _messages(each, 2):
            yield from (_span(service, one) for one in _messages(scope, 2))


def _messages(message: bytes, number: int) -> Iterator[bytes]:
    for found, value in fields(message):
        if found == number and isinstance(value, bytes):
            yield value


def _services(resource: bytes) -> Iterator[str]:
    for attribute in _messages(resource, 1):
        if next(_messages(attribute, 1), b"") == b"service.name":
            for value in _messages(attribute, 2):
                yield next(_messages(value, 1), b"").decode(errors="replace")


def _span(service: str, message: bytes) -> Received:
    found = dict(fields(message))

    def text(number: int) -> bytes:
        value = found.get(number, b"")
        return value if isinstance(value, bytes) else b""

    def count(number: int) -> int:
        value = found.get(number, 0)
        return value if isinstance(value, int) else 0

    return Received(
        service=service,
        trace=text(1).hex(),
        span=text(2).hex(),
        parent=text(4).hex(),
        name=text(5).decode(errors="replace"),
        kind=count(6),
        began_ns=count(7),
        ended_ns=count(8),
    )


class _Connection(StreamRequestHandler):
    """One client's connection, which may carry many calls."""

    take: Take

    def handle(self) -> None:
        """Answer calls until the client has gone."""
        if self.rfile.read(len(PREFACE)) != PREFACE:
            return
        self._send(SETTINGS, 0, 0, b"")
        bodies: dict[int, bytes] = {}
        while len(head := self.rfile.read(9)) == 9:
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, payload = int.from_bytes(head[5:], "big") & 0x7FFFFFFF, self.rfile.read(length)
            self._control(kind, flags, payload)
            if kind == DATA:
                bodies[stream] = bodies.get(stream, b"") + unpadded(payload, flags)
                self._allow(length, stream)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                self._answer(stream, bodies.pop(stream, b""))

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        """Acknowledge what wants to be acknowledged."""
        if kind in (SETTINGS, PING) and not flags & ACK:
            self._send(kind, ACK, 0, payload if kind == PING else b"")

    def _allow(self, length: int, stream: int) -> None:
        """Let the client send as much again, on this stream and in all."""
        for one in (0, stream) if length else ():
            self._send(WINDOW_UPDATE, 0, one, struct.pack(">I", length))

    def _answer(self, stream: int, body: bytes) -> None:
        """Take the spans of a call; what cannot be read is lost, and the client goes on."""
        try:
            # A message comes behind five bytes of its own.
            for span in spans_of(body[5:]):
                type(self).take(span)
        except ValueError as error:
            sys.stdout.write(f"spans that cannot be read: {error}\n")
            sys.stdout.flush()
        self._send(HEADERS, END_HEADERS, stream, STARTS)
        self._send(DATA, 0, stream, EMPTY)
        self._send(HEADERS, END_HEADERS | END_STREAM, stream, ENDS)

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
        self.wfile.write(head + payload)


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return the data of a frame without its padding."""
    return payload[1 : len(payload) - payload[0]] if flags & PADDED and payload else payload


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever sends spans has gone, and sends them again."""


def listening(port: int, take: Take) -> ThreadingTCPServer:
    """Return a server of that port, to be started, which hands on each span that comes."""
    handler = type("Handler", (_Connection,), {"take": staticmethod(take)})
    return _Server(("", port), handler)
