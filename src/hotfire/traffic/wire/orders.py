"""The queue from the pump's thread to the reactor's: requests in the order of their times."""

import os
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from hotfire.traffic.workload.request import Requests

NEVER_NS = 2**63 - 1


class Order(NamedTuple):
    """One request to be sent at a moment; ``sched_ns`` is monotonic."""

    seq: int
    sched_ns: int
    prompt_id: int
    data: bytes = b""
    """The whole request, where it was written ahead."""


class Orders:
    """The queue. One thread takes from it, and waits for ``wake`` at most ``look_ns`` at a time."""

    def __init__(self, requests: Requests, *, look_ns: int) -> None:
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.put_count = 0
        """Orders put and not recalled."""
        self.due_ns = NEVER_NS
        """When the first one that is left is due, as of the last look."""
        self.awake = False
        """Whether the one who takes is going to look before it waits again."""
        self._requests, self._look_ns = requests, look_ns
        self._waiting: deque[Order] = deque()

    def put(self, order: Order) -> None:
        """Add one, due no earlier than those before it."""
        self.put_count += 1
        # Written here, since what is done between two tokens is slow: it finds no warm cache.
        data = self._requests.bytes(order.prompt_id)
        self._waiting.append(order._replace(data=data))
        if not self.awake and order.sched_ns < time.monotonic_ns() + self._look_ns:
            self.rouse()

    def rouse(self) -> None:
        """End the wait of the one who takes."""
        os.eventfd_write(self.wake, 1)

    def recall(self, after_ns: int) -> int:
        """Take back what is due later; return how many orders that were."""
        recalled = 0
        with suppress(IndexError):  # the last one was just taken
            while self._waiting[-1].sched_ns > after_ns:
                self._waiting.pop()
                recalled += 1
        self.put_count -= recalled
        return recalled

    def take_due(self) -> Order | None:
        """Take the first one if it is due."""
        try:
            self.due_ns = self._waiting[0].sched_ns
            return self._waiting.popleft() if self.due_ns <= time.monotonic_ns() else None
        except IndexError:  # there is none, or it was recalled in between
            self.due_ns = NEVER_NS
            return None

    def close(self) -> list[Order]:
        """Return what is left, and wake nobody any more."""
        left = list(self._waiting)
        self._waiting.clear()
        os.close(self.wake)
        return left
