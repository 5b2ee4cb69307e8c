"""A client of Redis: as much of its protocol, RESP2, as a queue needs.

One connection, for one thread. Whatever goes wrong is an OSError: of a connection on which an
answer may still be under way nothing more is to be read, so whoever meets one opens another.
"""

import socket
from typing import Any, BinaryIO, Self

PORT = 6379
_END = b"\r\n"
Word = str | bytes | int


class RefusedError(OSError):
    """Redis answered that it does not do this, or not now."""


class Redis:
    """A connection to ``HOST`` or ``HOST:PORT``."""

    def __init__(self, address: str, *, within_seconds: float) -> None:
        """Connect; raises OSError where nobody answers within so many seconds, here and later."""
        host, _, port = address.partition(":")
        self._socket = socket.create_connection((host, int(port or PORT)), timeout=within_seconds)
        self._answers: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def wait(self, seconds: float) -> None:
        """Give each answer from now on so much time."""
        self._socket.settimeout(seconds)

    def ask(self, *command: Word) -> Any:  # noqa: ANN401 - bytes, a number, None or a list of these
        """Return what one command is answered."""
        self._socket.sendall(_encoded(command))
        return _read(self._answers)

    def together(self, *commands: tuple[Word, ...]) -> list[Any]:
        """Carry out all of some commands or none, with nobody else's in between."""
        whole = (("MULTI",), *commands, ("EXEC",))
        self._socket.sendall(b"".join(map(_encoded, whole)))
        answers = [_read(self._answers) for _ in whole]
        done: list[Any] = answers[-1]
        return done


def _encoded(command: tuple[Word, ...]) -> bytes:
    words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in words)


def _read(answers: BinaryIO) -> Any:  # noqa: ANN401 - see `Redis.ask`
    line = answers.readline()
    if not line.endswith(_END):
        raise ConnectionResetError("the connection ended amid an answer")
    kind, rest = line[:1], line[1:-2]
    match kind:
        case b"+":
            return rest
        case b":":
            return int(rest)
        case b"$":
            return _text(answers, int(rest))
        case b"*":
            return None if int(rest) < 0 else [_read(answers) for _ in range(int(rest))]
        case _:
            raise RefusedError(rest.decode(errors="replace"))


def _text(answers: BinaryIO, length: int) -> bytes | None:
    if length < 0:
        return None
    content = answers.read(length + len(_END))
    if len(content) < length + len(_END):
        raise ConnectionResetError("the connection ended amid an answer")
    return content[:length]
