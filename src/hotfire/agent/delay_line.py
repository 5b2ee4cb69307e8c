"""Holds frames back: `python -m hotfire.agent.delay_line ENTRY LINK SECONDS MTU AGENT`, a process.

Standard library only. The packet filter sends what leaves a link to a tap device instead; this
reads it there, waits, and sends it on over the link with a mark that the filter lets pass. A tap
offers no offloads, so the kernel cuts and sums every frame before it arrives here.
"""

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque

MODULE = "hotfire.agent.delay_line"
MARK = 0x68664C44
READY = "ready"
_PR_SET_PDEATHSIG = 1
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_SIOCSIFFLAGS, _SIOCSIFMTU, _IFF_UP, _IFF_NOARP = 0x8914, 0x8922, 0x1, 0x80
_ETH_HEADER_BYTES = 18
_SO_MARK = 36


def tap_name(link: str) -> str:
    """Return the name of a link's tap; at most 15 characters fit."""
    return f"hfd-{link}"[:15]


def main(argv: list[str]) -> int:
    """Hold back what comes until a signal; what waits by then is sent at once."""
    _, link, delay, mtu, agent_pid = argv
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(agent_pid):
        # Killed while this process was still starting.
        raise SystemExit("the agent is gone")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    tap = _open_tap(tap_name(link), int(mtu))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
    wire.bind((link, 0))
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    _carry(tap, wire, delay_seconds=float(delay), largest_bytes=int(mtu) + _ETH_HEADER_BYTES)
    return 0


def _carry(tap: int, wire: socket.socket, *, delay_seconds: float, largest_bytes: int) -> None:
    waiting: deque[tuple[float, bytes]] = deque()
    try:
        while True:
            left = waiting[0][0] - time.monotonic() if waiting else None
            if left is None or left > 0:
                readable, _, _ = select.select([tap], [], [], left)
                if readable:
                    frame = os.read(tap, largest_bytes)
                    waiting.append((time.monotonic() + delay_seconds, frame))
            while waiting and waiting[0][0] <= time.monotonic():
                _send(wire, waiting.popleft()[1])
    finally:
        for _, frame in waiting:
            _send(wire, frame)


def _send(wire: socket.socket, frame: bytes) -> None:
    try:
        wire.send(frame)
    except OSError:
        # The link is down or its queue is full: a frame lost there is lost, as on any wire.
        return


def _open_tap(name: str, mtu: int) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # Stock images have no `ip`. Without ARP the tap itself has nothing to say.
        _set(any_socket, _SIOCSIFMTU, name, "i", mtu)
        _set(any_socket, _SIOCSIFFLAGS, name, "H", _IFF_UP | _IFF_NOARP)
    return tap


def _set(any_socket: socket.socket, request: int, name: str, kind: str, value: int) -> None:
    fcntl.ioctl(
        any_socket, request, struct.pack(f"=16s{kind}", name.encode(), value).ljust(40, b"\0")
    )


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
