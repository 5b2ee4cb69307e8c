"""What a command in a container prints is read to its end, or to a limit."""

import time
from collections.abc import Iterable

import pytest

from hotfire.cluster.execution import printed


class Socket:
    """The websocket of a command that prints pieces; it ends with the last of them."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self._next: str | None = ""

    def is_open(self) -> bool:
        return self._next is not None

    def update(self, timeout: float) -> None:
        del timeout
        self._next = next(self._pieces, None)

    def read_stdout(self, timeout: float) -> str:
        del timeout
        return self._next or ""

    def read_stderr(self, timeout: float) -> str:
        return self.read_stdout(timeout)[:1]


def endless() -> Iterable[str]:
    while True:
        yield "x" * (1 << 20)


def test_everything_is_returned_that_came_before_the_end() -> None:
    assert printed(Socket(["ab", "cd"]), time.monotonic() + 10) == ("abcd", "ac")


def test_a_command_that_prints_without_end_is_left_at_a_limit() -> None:
    with pytest.raises(OverflowError, match="prints more than 16 MiB"):
        printed(Socket(endless()), time.monotonic() + 10)
