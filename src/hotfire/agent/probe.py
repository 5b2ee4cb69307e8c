"""What the node finds out by asking the network itself."""

import os
import socket
import struct
import time
from typing import Any

from hotfire.agent import arguments, link
from hotfire.agent.host import Host, OperationError

# IEEE 802's number for local experiments: nobody answers such a frame.
EXPERIMENTAL = 0x88B5
_BROADCAST = b"\xff" * 6
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
    with _packet_socket(name) as wire:
        head = _BROADCAST + wire.getsockname()[4] + struct.pack(">H", EXPERIMENTAL)
        done = _send_evenly(wire, head.ljust(size, b"\0"), count, seconds)
    return {**done, "passed_bytes": _sent_bytes(host, name) - before}


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
    port = arguments.port(args)
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


def _packet_socket(name: str) -> socket.socket:
    try:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        wire.bind((name, 0))
    except OSError as error:
        raise OperationError(f"no packet socket on {name}: {error}") from error
    return wire
