"""What one exchange may use of time and bytes, and what is left of it."""

import time
from contextvars import ContextVar


class Spent(Exception):  # noqa: N818 - as a sentence: the exchange is spent
    """Nothing is left of what an exchange may use; the message is the page's error."""


class Spending:
    """What one exchange may still use."""

    def __init__(self, seconds: float, wire_bytes: int) -> None:
        self._seconds, self._until = seconds, time.monotonic() + seconds
        self._wire_bytes, self._bytes_left = wire_bytes, wire_bytes

    def seconds_left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.too_late()
        return left

    def take(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise Spent(f"size: the answer is longer than {self._wire_bytes:,} bytes")

    def too_late(self) -> Spent:
        return Spent(f"deadline: no whole answer within {self._seconds:g} s")


# Of the exchange that this thread is at: the sockets below a pool are handed from one to the next.
SPENDING: ContextVar[Spending] = ContextVar("SPENDING")
