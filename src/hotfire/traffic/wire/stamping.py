"""The kernel's stamp on what arrives: it is to be there from the first byte on.

The kernel begins to stamp in a task of its own, some time after the first socket of the machine has
asked, and ends with the last one. What arrives in between gets the time at which it is read. A load
has real-time priority: while it waits it sleeps, or that task would wait for it.
"""

import contextlib
import time
from socket import AF_INET, SOCK_DGRAM, SOL_SOCKET, socket
from typing import Final

from hotfire.traffic.wire.clock import NANO
from hotfire.traffic.wire.reader import TIME, TIMES, TIMES_BYTES
from hotfire.waiting import pause

_WITHIN_NS: Final = 200_000_000
_LATE_NS: Final = 1_000_000


def keep() -> socket:
    """Return a socket that keeps the kernel stamping while it is open.

    The kernel does so when this returns, in a few milliseconds as a rule. After a fifth of a second
    it returns all the same: a system without stamps has later times, not none.
    """
    keeper = socket(AF_INET, SOCK_DGRAM)
    deadline_ns = time.monotonic_ns() + _WITHIN_NS
    with contextlib.suppress(OSError):
        keeper.setsockopt(SOL_SOCKET, TIMES, 1)
        keeper.settimeout(_WITHIN_NS / NANO)
        keeper.bind(("127.0.0.1", 0))
        keeper.connect(keeper.getsockname())
        while not _is_stamped_on_arrival(keeper) and time.monotonic_ns() < deadline_ns:
            pass
    return keeper


def _is_stamped_on_arrival(keeper: socket) -> bool:
    """Return whether a datagram that is read late has an earlier stamp."""
    keeper.send(b".")
    pause(_LATE_NS / NANO, why="it is to be read late")
    read_ns = time.time_ns()
    _, told, _, _ = keeper.recvmsg(1, TIMES_BYTES)
    if not told:
        return False
    seconds, rest = TIME(told[0][2])
    stamp_ns: int = seconds * NANO + rest
    return read_ns - stamp_ns >= _LATE_NS // 2
