"""The agent's socket: one bounded request, one answer, whoever asks and however."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hotfire.agent.host import OperationError, say

_TICK_SECONDS = 0.2
_READ_SECONDS = 2.0
_LARGEST_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_CALL_SECONDS = 30.0

Answer = Callable[[object], object]


class Door:
    """Listens at a path, and comes back to it when the disk had no room or somebody removed it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener: socket.socket | None = None
        self._trouble = ""

    def answer_one(self, answer: Answer) -> bool:
        """Answer whoever asks within a fifth of a second; return whether anybody did."""
        try:
            connection, _ = self._listening().accept()
        except TimeoutError:
            return False
        except OSError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                say(f"nobody can ask at {self._path}: {error}")
            time.sleep(_TICK_SECONDS)  # noqa: TID251 - this program imports nothing that waits
            return False
        self._trouble = ""
        with connection, contextlib.suppress(OSError):
            # Where the caller is gone, what it asked for is done and has an end of its own.
            reply = _reply(connection, answer)
            connection.settimeout(_READ_SECONDS)
            connection.sendall(reply)
        return True

    def close(self) -> None:
        """Leave nothing behind."""
        if self._listener:
            self._listener.close()
            self._listener = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _listening(self) -> socket.socket:
        if self._listener and self._path.exists():
            return self._listener
        self.close()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Bound with these permissions, not opened with wider ones for a moment.
            before = os.umask(0o177)
            try:
                listener.bind(str(self._path))
            finally:
                os.umask(before)
            listener.listen()
            listener.settimeout(_TICK_SECONDS)
        except OSError:
            listener.close()
            raise
        self._listener = listener
        return listener


def ask(path: Path, request: str) -> str:
    """Return what the serving agent replies to one request: one line of JSON.

    Raises:
        OSError: nobody serves there, or it took too long.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CALL_SECONDS)
        connection.connect(str(path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # It may have answered already, that this is too long.
            connection.sendall(request.encode(errors="surrogatepass") + b"\n")
        with connection.makefile("r", encoding="utf-8") as stream:
            return stream.readline()


def _reply(connection: socket.socket, answer: Answer) -> bytes:
    """Return the answer as a line of JSON; whatever went wrong is one, with its type and reason."""
    try:
        line = _request(connection)
        return _line({"ok": True, "result": answer(_parsed(line))})
    except Exception as error:  # noqa: BLE001 - no request may end the agent, which has faults to undo
        name = type(error).__name__
        return _line({"ok": False, "type": name, "error": f"{name}: {error}"})


def _request(connection: socket.socket) -> bytes:
    deadline, chunks, size = time.monotonic() + _READ_SECONDS, [b""], 0
    while b"\n" not in chunks[-1]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise OperationError(f"no whole line within {_READ_SECONDS:g} s")
        connection.settimeout(left)
        try:
            chunks.append(connection.recv(_CHUNK_BYTES))
        except TimeoutError:
            continue
        size += len(chunks[-1])
        if size > _LARGEST_BYTES:
            raise OperationError(f"a request has at most {_LARGEST_BYTES} bytes")
        if not chunks[-1]:
            break
    return b"".join(chunks).partition(b"\n")[0]


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise OperationError(f"a request is one line of JSON: {error}") from None


def _line(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply).encode() + b"\n"
