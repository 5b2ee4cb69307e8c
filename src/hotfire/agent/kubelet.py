"""Which devices the kubelet gave to which container: its PodResources service.

One unary gRPC call over a UNIX socket, spoken here in the few frames it takes, since the stock
image has no gRPC library. RFC 9113 (HTTP/2) and 7541 (HPACK); the messages are those of
https://github.com/kubernetes/kubelet/blob/master/pkg/apis/podresources/v1/api.proto
"""

import socket
import struct
from collections.abc import Iterator
from typing import Any

from hotfire.agent.host import Host, OperationError

SOCKET = "/var/lib/kubelet/pod-resources/kubelet.sock"
_METHOD = "/v1.PodResourcesLister/List"
_SECONDS = 10.0
_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK, _END_STREAM, _END_HEADERS, _PADDED = 1, 1, 4, 8
_WINDOW_BYTES = (1 << 31) - 1
_DEFAULT_WINDOW_BYTES = 65535


def pod_resources(host: Host) -> list[dict[str, Any]]:
    """Return namespace, pod, container, resource and device ids, one row per resource.

    Raises:
        OperationError: the kubelet offers no such socket, or answers with an error.
    """
    path = host.path(SOCKET)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(path))
            message = _call(connection)
    except OSError as error:
        raise OperationError(f"the kubelet does not answer at {path}: {error}") from error
    return list(_rows(message))


def _call(connection: socket.socket) -> bytes:
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _METHOD),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    )
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)
    # SETTINGS_INITIAL_WINDOW_SIZE (4) and the connection's window: never wait for our updates.
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, payload=struct.pack(">HI", 4, _WINDOW_BYTES))
        + _frame(_WINDOW, payload=struct.pack(">I", _WINDOW_BYTES - _DEFAULT_WINDOW_BYTES))
        + _frame(_HEADERS, flags=_END_HEADERS, stream=1, payload=block)
        + _frame(_DATA, flags=_END_STREAM, stream=1, payload=bytes(5))
    )
    body = b"".join(_body(connection))
    # gRPC's message prefix: one byte "compressed", four bytes of length.
    if len(body) < 5 or len(body) - 5 < int.from_bytes(body[1:5], "big"):
        raise OperationError("the kubelet refused to list pod resources")
    return body[5:]


def _body(connection: socket.socket) -> Iterator[bytes]:
    ended = False
    with connection.makefile("rb") as stream:
        while not ended:
            head = _exactly(stream, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = _exactly(stream, length)
            if kind in (_RST, _GOAWAY):
                raise OperationError(f"the kubelet broke the call off: {payload!r}")
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                connection.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
            if kind == _DATA:
                yield payload[1 : length - payload[0]] if flags & _PADDED else payload
            ended = kind in (_DATA, _HEADERS) and bool(flags & _END_STREAM)


def _exactly(stream: Any, count: int) -> bytes:  # noqa: ANN401 - a BufferedReader by another name
    data: bytes = stream.read(count)
    if len(data) < count:
        raise OperationError("the kubelet closed the connection within a frame")
    return data


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _rows(message: bytes) -> Iterator[dict[str, Any]]:
    for pod in _submessages(message, 1):
        for container in _submessages(pod, 3):
            for resource, device_ids in _grants(container):
                yield {
                    "namespace": _string(pod, 2),
                    "pod": _string(pod, 1),
                    "container": _string(container, 1),
                    "resource": resource,
                    "device_ids": device_ids,
                }


def _grants(container: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield what came by number from a device plugin, then what came by claim from a driver."""
    for device in _submessages(container, 2):
        yield _string(device, 1), [one.decode() for one in _submessages(device, 2)]
    for claim in _submessages(container, 5):
        for part in _submessages(claim, 4):
            # A CDI device is named KIND=ID.
            names = [_string(cdi, 1) for cdi in _submessages(part, 1)]
            yield _string(part, 2), [name.rpartition("=")[2] for name in names]


def _string(message: bytes, number: int) -> str:
    return next(_submessages(message, number), b"").decode()


def _submessages(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the length-delimited fields of one number; other fields are stepped over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 2:
            length, at = _varint(message, at)
            if number == wanted:
                yield message[at : at + length]
            at += length
        elif wire == 0:
            _, at = _varint(message, at)
        else:
            at += {1: 8, 5: 4}[wire]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
