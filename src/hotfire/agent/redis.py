"""Asking a Redis, or what speaks like one, whether it is there, past all that stands before it."""

import socket
from typing import Any

from hotfire.agent import arguments

_PING, _LONGEST_SECONDS, _LONGEST_LINE = b"PING\r\n", 5.0, 1000
# Whoever asks for a password first is there, too.
_ALIVE = ("+PONG", "-NOAUTH", "-NOPERM")


def ping(args: dict[str, Any]) -> dict[str, Any]:
    """Return whether PING is answered at ``address`` and ``port``, and what was said."""
    arguments.only(args, {"address", "port", "within_seconds"})
    host, port, seconds = arguments.peer(args, longest_seconds=_LONGEST_SECONDS)
    try:
        with socket.create_connection((host, port), timeout=seconds) as peer:
            peer.sendall(_PING)
            with peer.makefile("rb") as answers:
                said = answers.readline(_LONGEST_LINE).decode(errors="replace").strip()
    except OSError as error:
        return {"answered": False, "said": f"{type(error).__name__}: {error}"}
    return {"answered": said.startswith(_ALIVE), "said": said}
