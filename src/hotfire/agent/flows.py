"""Flows that cross links: UDP to one port, by whom and to whom. Nothing is kept of what they carry.

Counters of a link count everybody; whether our own packets took it only the packets tell.
"""

import ctypes
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from select import select
from typing import Any

from hotfire.agent import arguments
from hotfire.agent.host import Host, OperationError

_EVERY_PROTOCOL = 0x0003
_ATTACH_FILTER = 26
# The longest head of an IPv4 packet, and the ports behind it.
_HEAD_BYTES = 64
_LONGEST_SECONDS = 8.0

Flow = tuple[str, str, str, str]
"""Link, direction, source and destination."""


def crossing(host: Host, args: dict[str, Any]) -> list[dict[str, Any]]:
    """Listen for ``seconds``; return what UDP to ``port`` crossed which of the links, and whither.

    Of each pair of addresses the source ports, each of which is a flow. What is inside a tunnel is
    not seen, nor are later parts of packets that were cut in pieces.
    """
    del host  # The agent lives in its network.
    arguments.only(args, {"links", "port", "seconds"})
    links = arguments.links(args)
    port = arguments.port(args)
    seconds = arguments.number(args, "seconds", above=0, at_most=_LONGEST_SECONDS)
    found: dict[Flow, set[int]] = defaultdict(set)
    with ExitStack() as closing:
        wires = {closing.enter_context(_listening(name, port)): name for name in links}
        for flow, source_port in _heard(wires, seconds):
            found[flow].add(source_port)
    names = ("link", "direction", "source", "destination")
    return [
        {**dict(zip(names, flow, strict=True)), "source_ports": sorted(ports)}
        for flow, ports in sorted(found.items())
    ]


def _heard(wires: Mapping[socket.socket, str], seconds: float) -> Iterator[tuple[Flow, int]]:
    """Yield flow and source port of each packet."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for wire in select([*wires], [], [], left)[0]:
            try:
                packet, (_, _, kind, *_) = wire.recvfrom(_HEAD_BYTES)
            except OSError:
                # The link is down, which is told once: nothing crosses it until it is up.
                continue
            direction = "out" if kind == socket.PACKET_OUTGOING else "in"
            source, destination = map(socket.inet_ntoa, (packet[12:16], packet[16:20]))
            ports = 4 * (packet[0] & 15)
            (source_port,) = struct.unpack_from(">H", packet, ports)
            yield (wires[wire], direction, source, destination), source_port


def _listening(link: str, port: int) -> socket.socket:
    # Of protocol 0 it hears nothing until its filter is there; without its link header, what it
    # hears begins with the packet on every kind of link.
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        _attach(wire, _udp_to(port))
        wire.bind((link, _EVERY_PROTOCOL))
    except OSError as error:
        wire.close()
        raise OperationError(f"nothing can be heard on {link}: {error}") from error
    return wire


def _attach(wire: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Let the kernel keep from us what is not ours to see: a busy link would drown a pod."""
    code = b"".join(struct.pack("HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code)
    told = struct.pack("HP", len(program), ctypes.addressof(buffer))
    wire.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, told)


def _udp_to(port: int) -> list[tuple[int, int, int, int]]:
    """Return the kernel's filter program: operation, jumps if true and false, and its operand."""
    load_byte, load_half, load_half_behind_head, head_length = 0x30, 0x28, 0x48, 0xB1
    mask, equal, any_bit, give = 0x54, 0x15, 0x45, 0x06
    return [
        (load_byte, 0, 0, 0),
        (mask, 0, 0, 0xF0),
        (equal, 0, 8, 0x40),  # IPv4
        (load_byte, 0, 0, 9),
        (equal, 0, 6, socket.IPPROTO_UDP),
        (load_half, 0, 0, 6),
        (any_bit, 4, 0, 0x1FFF),  # a later fragment
        (head_length, 0, 0, 0),
        (load_half_behind_head, 0, 0, 2),
        (equal, 0, 1, port),
        (give, 0, 0, _HEAD_BYTES),
        (give, 0, 0, 0),
    ]
