"""Echoes over one link: what comes back, how often, in which order, how late and how whole.

ICMP carries a number with each probe, so that a lost, doubled or overtaken one is known as such.
"""

import json
import os
import select
import socket
import statistics
import struct
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from typing import Any

from hotfire.agent import arguments, link
from hotfire.agent.host import Host, OperationError

_REQUEST, _REPLY = 8, 0
_HEADER = struct.Struct(">BBHHH")
_MOST, _LONGEST_SECONDS = 5_000, 8.0
_WAIT_SECONDS = 1.0
_PAYLOAD = bytes(range(64))


@dataclass
class Tally:
    """What is known of the probes of one series."""

    sent_at: list[float] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    """How long each answered probe took."""
    doubled: set[int] = field(default_factory=set)
    overtaken: int = 0
    damaged: int = 0
    _newest: int = -1

    def answered(self, number: int, payload: bytes, now: float) -> None:
        """Note an answer."""
        if number in self.seconds:
            self.doubled.add(number)
            return
        self.seconds[number] = now - self.sent_at[number]
        self.overtaken += number < self._newest
        self.damaged += payload != _PAYLOAD
        self._newest = max(self._newest, number)

    def told(self) -> dict[str, Any]:
        """Return the counts, and the middle of the round trips with both ends of them."""
        trips = list(self.seconds.values())
        return {
            "sent": len(self.sent_at),
            "lost": len(self.sent_at) - len(self.seconds),
            "doubled": len(self.doubled),
            "overtaken": self.overtaken,
            "damaged": self.damaged,
            "round_trip_seconds": statistics.median(trips) if trips else None,
            "shortest_seconds": min(trips, default=None),
            "longest_seconds": max(trips, default=None),
        }


def echoes(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Ask the other end of a point-to-point link for ``times`` echoes, evenly in ``seconds``.

    One that has not come ``wait_seconds`` after the last was sent is lost.
    """
    arguments.only(args, {"link", "times", "seconds", "wait_seconds"})
    name = arguments.link(args)
    times = round(arguments.number(args, "times", above=0, at_most=_MOST))
    seconds = arguments.number(args, "seconds", above=0, at_most=_LONGEST_SECONDS)
    wait = arguments.number(
        {"wait_seconds": _WAIT_SECONDS, **args}, "wait_seconds", above=0, at_most=_LONGEST_SECONDS
    )
    with _echo_socket(name, *ends(host, name)) as wire:
        return _series(wire, times, seconds, wait_seconds=wait).told()


def ends(host: Host, name: str) -> tuple[bytes, bytes]:
    """Return our own address on a link and that of its other end."""
    link.attributes(host, name)
    shown = json.loads(host.run(["ip", "-j", "-4", "address", "show", "dev", name]))
    for row in shown[0]["addr_info"] if shown else []:
        own = IPv4Interface(f"{row['local']}/{row['prefixlen']}")
        others = [one for one in own.network.hosts() if one != own.ip]
        if len(others) == 1:
            return own.ip.packed, others[0].packed
    raise OperationError(f"{name} has no /30 or /31 address: its other end is not known")


def _echo_socket(name: str, own: bytes, other: bytes) -> socket.socket:
    wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    try:
        # Over this link, whatever the routes say of the way to its other end.
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        wire.bind((socket.inet_ntoa(own), 0))
        wire.connect((socket.inet_ntoa(other), 0))
    except OSError as error:
        wire.close()
        raise OperationError(f"no echo over {name}: {error}") from error
    return wire


def _series(wire: socket.socket, times: int, seconds: float, *, wait_seconds: float) -> Tally:
    tally, mark, began = Tally(), int.from_bytes(os.urandom(2), "big"), time.monotonic()
    for number in range(times):
        _hear(wire, mark, tally, until=began + seconds * number / times)
        tally.sent_at.append(time.monotonic())
        try:
            wire.send(_request(mark, number))
        except OSError:
            # Lost here is lost, too: the queue is full, or the link is down.
            continue
    deadline = time.monotonic() + wait_seconds
    while len(tally.seconds) < times and time.monotonic() < deadline:
        _hear(wire, mark, tally, until=min(deadline, time.monotonic() + 0.05))
    # What is doubled or late may still be on its way behind the last answer.
    _hear(wire, mark, tally, until=time.monotonic() + 0.05)
    return tally


def _hear(wire: socket.socket, mark: int, tally: Tally, *, until: float) -> None:
    """Note what is answered until a moment."""
    while True:
        left = max(0.0, until - time.monotonic())
        readable, _, _ = select.select([wire], [], [], left)
        if not readable:
            return
        packet = wire.recv(2048)
        head = (packet[0] & 15) * 4
        kind, _, _, whose, number = _HEADER.unpack_from(packet, head)
        if (kind, whose) == (_REPLY, mark) and number < len(tally.sent_at):
            tally.answered(number, packet[head + _HEADER.size :], time.monotonic())


def _request(mark: int, number: int) -> bytes:
    unsummed = _HEADER.pack(_REQUEST, 0, 0, mark, number) + _PAYLOAD
    return _HEADER.pack(_REQUEST, 0, _checksum(unsummed), mark, number) + _PAYLOAD


def _checksum(message: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
