"""The monotonic clock and the epoch clock, read at one moment: for durations and for stamps."""

import time
from typing import Final, NamedTuple

NANO = 1_000_000_000
_BRACKET_NS: Final = 2_000
"""Longest time between two readings of one clock that makes the reading between them exact."""


def clock_offset_ns() -> int:
    """Return epoch less monotonic time, read so that being preempted does not count."""
    best, found = None, 0
    for _ in range(5):
        before = time.monotonic_ns()
        epoch = time.time_ns()
        width = time.monotonic_ns() - before
        if best is None or width < best:
            best, found = width, epoch - before - width // 2
        if best < _BRACKET_NS:
            break
    return found


class Anchor(NamedTuple):
    """The same moment on both clocks."""

    epoch_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Anchor":
        """Return the present moment."""
        monotonic_ns = time.monotonic_ns()
        return cls(monotonic_ns + clock_offset_ns(), monotonic_ns)

    def stamp(self, monotonic_ns: int) -> int:
        """Return a monotonic stamp on the epoch clock."""
        return self.epoch_ns + monotonic_ns - self.monotonic_ns

    def epoch(self, monotonic_ns: int | None) -> int | None:
        """Return the same where there may be no stamp."""
        return None if monotonic_ns is None else self.stamp(monotonic_ns)
