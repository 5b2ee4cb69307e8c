"""Holds frames back or spoils them: `python -m hotfire.agent.delay_line ENTRY LINK FATE ...`.

Standard library only. The packet filter sends what leaves a link to a tap device instead; this
reads it there, waits, and sends it on over the link with a mark that the filter lets pass. A tap
offers no offloads, so the kernel cuts and sums every frame before it arrives here.
"""

import fcntl
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable

from hotfire.agent import children

MODULE = "hotfire.agent.delay_line"
MARK = 0x68664C44
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_SIOCSIFFLAGS, _SIOCSIFMTU, _IFF_UP, _IFF_NOARP = 0x8914, 0x8922, 0x1, 0x80
_ETH_HEADER_BYTES, _VLAN_BYTES = 14, 4
_SO_MARK = 36
_CHANCE = random.SystemRandom()


def late(frame: bytes) -> list[bytes]:
    """Return the frame as it is."""
    return [frame]


def corrupt(frame: bytes) -> list[bytes]:
    """Return it with one bit turned behind its Ethernet header, where checksums must find it."""
    spoilt = bytearray(frame)
    spoilt[_CHANCE.randrange(_ETH_HEADER_BYTES, len(frame))] ^= 1 << _CHANCE.randrange(8)
    return [bytes(spoilt)]


def duplicate(frame: bytes) -> list[bytes]:
    """Return it twice."""
    return [frame, frame]


FATES: dict[str, Callable[[bytes], list[bytes]]] = {
    "late": late,
    "corrupt": corrupt,
    "duplicate": duplicate,
}


def tap_name(link: str) -> str:
    """Return the name of a link's tap; at most 15 characters fit."""
    return f"hfd-{link}"[:15]


def main(argv: list[str]) -> int:
    """Take what comes until a signal; what waits by then is sent at once."""
    _, link, fate, delay, mtu, agent_pid = argv
    children.live_with(int(agent_pid))
    tap = _open_tap(tap_name(link), int(mtu))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
    wire.bind((link, 0))
    children.say_ready()
    largest = int(mtu) + _ETH_HEADER_BYTES + _VLAN_BYTES
    _carry(tap, wire, FATES[fate], delay_seconds=float(delay), largest_bytes=largest)
    return 0


def _carry(
    tap: int,
    wire: socket.socket,
    fate: Callable[[bytes], list[bytes]],
    *,
    delay_seconds: float,
    largest_bytes: int,
) -> None:
    waiting: deque[tuple[float, bytes]] = deque()
    try:
        while True:
            left = waiting[0][0] - time.monotonic() if waiting else None
            if left is None or left > 0:
                readable, _, _ = select.select([tap], [], [], left)
                if readable:
                    due = time.monotonic() + delay_seconds
                    waiting.extend((due, one) for one in fate(os.read(tap, largest_bytes)))
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
