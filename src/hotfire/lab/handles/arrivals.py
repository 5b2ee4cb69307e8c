"""Frames of the agents' own probes that arrive over a link: nobody else's are counted."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hotfire.agent.probe import EXPERIMENTAL
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import Machine

_SOL_PACKET, _PACKET_STATISTICS = 263, 6


@contextmanager
def counting(machine: Machine, interface: str) -> Iterator[Callable[[], int]]:
    """Count the frames that arrive from now on; gives what returns how many came since asked last.

    A socket of one protocol is behind the packet filter: what that drops does not arrive.
    """
    with netns.inside(machine.network_namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with wire:
        wire.bind((interface, EXPERIMENTAL))
        yield lambda: _seen(wire)


def _seen(wire: socket.socket) -> int:
    # The kernel counts what came, whether or not the socket had room for it, and begins anew.
    told = wire.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
    return int(struct.unpack("II", told)[0])
