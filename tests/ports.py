"""Ports for programs that must be told one; whoever can listen on port 0 does that."""

import random
import socket
from contextlib import suppress

# Below those that the kernel gives to connections: nobody else comes upon one of these meanwhile.
RANGE = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of the loopback on which nobody listens, another one each time."""
    for port in random.SystemRandom().sample(RANGE, 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"no port is free in {RANGE}")
