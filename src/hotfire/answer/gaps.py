"""Pauses between the chunks of one stream, kept in little memory."""

from array import array
from typing import Protocol

LONGEST_GAP_US = 2**31 - 1


class Gaps(Protocol):
    """The pauses between the chunks of one stream."""

    @property
    def last_ns(self) -> int | None:
        """Time of the last chunk; None before the first."""

    def __len__(self) -> int:
        """Return the number of pauses: chunks less one."""

    def note(self, now_ns: int, /) -> None:
        """Note a chunk at this time."""

    def us(self) -> "array[int]":
        """Return the pauses in microseconds, as 32-bit numbers."""


class PythonGaps:
    """Gaps, kept by the interpreter."""

    __slots__ = ("_us", "last_ns")

    def __init__(self) -> None:
        self._us = array("i")
        self.last_ns: int | None = None

    def __len__(self) -> int:
        return len(self._us)

    def note(self, now_ns: int, /) -> None:
        if self.last_ns is not None:
            # Written out: a call for each token would cost more than the rest of it.
            gap_us = (max(0, now_ns - self.last_ns) + 500) // 1000
            self._us.append(min(gap_us, LONGEST_GAP_US))
        self.last_ns = now_ns

    def us(self) -> "array[int]":
        return self._us


def pause_us(earlier_ns: int, later_ns: int) -> int:
    """Return the pause between two stamps, rounded, as far as 32 bits hold it; never negative."""
    return min((max(0, later_ns - earlier_ns) + 500) // 1000, LONGEST_GAP_US)
