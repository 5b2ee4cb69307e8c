"""Signals while something is broken: told to end, we heal first; while healing, nothing ends us."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hotfire.signals import handled


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that whatever is armed is healed on the way out."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with handled(leave, signal.SIGTERM):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM off while healing; it has a deadline of its own."""
    with handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
        yield
