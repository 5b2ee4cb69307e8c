"""The monotonic clock and the epoch clock, read at one moment: for durations and for stamps."""

import time
from typing import NamedTuple

NANO = 1_000_000_000


class Anchor(NamedTuple):
    """The same moment on both clocks."""

    epoch_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls) -> "Anchor":
        """Return the present moment."""
        return cls(time.time_ns(), time.monotonic_ns())

    def stamp(self, monotonic_ns: int) -> int:
        """Return a monotonic stamp on the epoch clock."""
        return self.epoch_ns + monotonic_ns - self.monotonic_ns

    def epoch(self, monotonic_ns: int | None) -> int | None:
        """Return the same where there may be no stamp."""
        return None if monotonic_ns is None else self.stamp(monotonic_ns)
