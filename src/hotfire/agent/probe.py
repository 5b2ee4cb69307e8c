"""What the node finds out by asking the network itself."""

import json
import os
import socket
import struct
import time
from ipaddress import IPv4Interface
from typing import Any

from hotfire.agent import arguments, link
from hotfire.agent.host import Host, OperationError

# IEEE 802's number for local experiments: nobody answers such a frame.
EXPERIMENTAL = 0x88B5
_ARP, _ARP_REQUEST, _ARP_REPLY = 0x0806, 1, 2
_BROADCAST = b"\xff" * 6
_ANSWER_SECONDS = 2.0
_LONGEST_SECONDS, _MOST_FRAMES, _LARGEST_BYTES = 8.0, 1_000_000, 1_500
_DNS_PORT = 53
_RCODES = {0: "ok", 2: "server failure", 3: "no such name", 5: "refused"}


def frames(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Send ``frames`` of ``frame_bytes`` over a link, evenly in ``seconds``; return how many left.

    ``passed_bytes`` is what the link itself counted meanwhile, whoever sent it. Only the other
    end's counters tell how many arrived.
    """
    arguments.only(args, {"link", "frames", "frame_bytes", "seconds"})
    count = round(arguments.number(args, "frames", above=0, at_most=_MOST_FRAMES))
    size = round(arguments.number(args, "frame_bytes", above=59, at_most=_LARGEST_BYTES))
    seconds = arguments.number(args, "seconds", above=0, at_most=_LONGEST_SECONDS)
    name = arguments.link(args)
    before = _sent_bytes(host, name)
    with _packet_socket(name, 0) as wire:
        head = _BROADCAST + wire.getsockname()[4] + struct.pack(">H", EXPERIMENTAL)
        done = _send_evenly(wire, head.ljust(size, b"\0"), count, seconds)
    return {**done, "passed_bytes": _sent_bytes(host, name) - before}


def round_trip(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Ask the other end of a point-to-point link (/31 or /30) for its address ``times`` times.

    Returns the round trips in seconds; None where no answer came within two seconds.
    """
    arguments.only(args, {"link", "times"})
    name = arguments.link(args)
    times = round(arguments.number(args, "times", above=0, at_most=20))
    own, other = ends(host, name)
    with _packet_socket(name, _ARP) as wire:
        return {"round_trips_seconds": [_ask(wire, own, other) for _ in range(times)]}


def lookup(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Ask a name server once, over UDP; the outcome is a word of DNS or ``no answer``."""
    arguments.only(args, {"server", "name", "within_seconds"})
    seconds = arguments.number(args, "within_seconds", above=0, at_most=_LONGEST_SECONDS)
    number = os.urandom(2)
    labels = str(args.get("name", "")).rstrip(".").split(".")
    question = b"".join(bytes([len(one)]) + one.encode("idna") for one in labels) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds)
        began = time.monotonic()
        try:
            asking.connect((str(args.get("server", "")), _DNS_PORT))
            asking.send(number + b"\1\0\0\1\0\0\0\0\0\0" + question)
            answer = asking.recv(4096)
        except OSError:
            return {"outcome": "no answer"}
    outcome = _RCODES.get(answer[3] & 15, f"code {answer[3] & 15}")
    return {"outcome": outcome, "seconds": time.monotonic() - began}


def connect(host: Host, args: dict[str, Any]) -> dict[str, Any]:
    """Open a TCP connection to a port and close it; ``reason`` is empty where that worked."""
    arguments.only(args, {"address", "port", "within_seconds"})
    seconds = arguments.number(args, "within_seconds", above=0, at_most=_LONGEST_SECONDS)
    port = round(arguments.number(args, "port", above=0, at_most=65535))
    try:
        socket.create_connection((str(args.get("address", "")), port), seconds).close()
    except OSError as error:
        return {"reason": str(error) or type(error).__name__}
    return {"reason": ""}


def _sent_bytes(host: Host, name: str) -> int:
    return int(link.attributes(host, name)["stats64"]["tx"]["bytes"])


def _send_evenly(wire: socket.socket, frame: bytes, count: int, seconds: float) -> dict[str, Any]:
    began, sent = time.monotonic(), 0
    for number in range(count):
        ahead = began + seconds * number / count - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)  # noqa: TID251 - this program imports nothing that waits
        try:
            sent += wire.send(frame) > 0
        except OSError:
            # The queue is full: that this one is lost is what the caller wants to know.
            continue
    return {"sent": sent, "seconds": time.monotonic() - began}


def _packet_socket(name: str, protocol: int) -> socket.socket:
    # Bound to one protocol, it is behind the packet filter and sees only what passed it.
    try:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        wire.bind((name, protocol))
    except OSError as error:
        raise OperationError(f"no packet socket on {name}: {error}") from error
    wire.settimeout(_ANSWER_SECONDS)
    return wire


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


def _ask(wire: socket.socket, own: bytes, other: bytes) -> float | None:
    mac = wire.getsockname()[4]
    kind = struct.pack(">HHBBH", 1, 0x0800, 6, 4, _ARP_REQUEST)
    frame = _BROADCAST + mac + struct.pack(">H", _ARP) + kind + mac + own + bytes(6) + other
    began = time.monotonic()
    wire.send(frame)
    while time.monotonic() - began < _ANSWER_SECONDS:
        try:
            answer = wire.recv(128)
        except TimeoutError:
            return None
        if answer[20:22] == struct.pack(">H", _ARP_REPLY) and answer[28:32] == other:
            return time.monotonic() - began
    return None
