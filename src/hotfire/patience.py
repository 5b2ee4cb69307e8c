"""Retries: the one place where a call is repeated, for peers that do not answer for a while.

Only what may be repeated without harm comes here, and only what may pass by itself is repeated:
who opens a door says which of its errors those are.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeVar

from hotfire.waiting import pause

T = TypeVar("T")
Tell = Callable[[str], None]
Passing = Callable[[Exception], float | None]
"""Seconds to wait at least before an error may have passed; None: it will not pass."""

_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 1.0


class Silence:
    """How long a door has kept its callers waiting so far, overlapping calls counted once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = 0.0
        self._until = float("-inf")
        self._told: set[str] = set()

    @property
    def seconds(self) -> float:
        """Seconds on the clock of whoever was patient."""
        return self._seconds

    def add(self, began: float, ended: float) -> None:
        """Count one wait that is over."""
        with self._lock:
            self._seconds += max(0.0, ended - max(began, self._until))
            self._until = max(self._until, ended)

    def is_news(self, door: str) -> bool:
        """Return whether nobody has told of this door's silence yet; from now on somebody has."""
        with self._lock:
            news = door not in self._told
            self._told.add(door)
            return news

    def is_over(self, door: str) -> bool:
        """Return whether this door's silence was told of; from now on a new one is news."""
        with self._lock:
            told = door in self._told
            self._told.discard(door)
            return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a door may be silent before that is an error, and who is told meanwhile."""

    outage_seconds: float = 0.0
    """From the first attempt on; 0: one attempt, as for a caller that closed the door itself."""
    tell: Tell | None = None
    tell_after_seconds: float = 5.0
    silence: Silence = field(default_factory=Silence)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = lambda seconds: pause(seconds, why="a door is silent")

    def shortened(self, outage_seconds: float = 0.0) -> Self:
        """Return the same with another length, for who expects silence or asks again anyway."""
        return replace(self, outage_seconds=outage_seconds)

    def retrying(
        self,
        attempt: Callable[[bool], T],
        *,
        door: str,
        passing: Passing,
        prompt: bool = True,
    ) -> T:
        """Return what an attempt returns, repeated while its errors may pass and time is left.

        ``attempt`` is told whether it is a repetition: the one before may have been carried out
        although its answer was lost. The last attempt begins when the time is over, at the latest.
        A door that is not ``prompt`` may take its time for an answer: only a repetition is silence.

        Raises:
            Exception: the last attempt's own, as it was.
        """
        began, pause_seconds, again = self.clock(), _FIRST_PAUSE_SECONDS, False
        with self._telling(door, began, prompt=prompt) as waited:
            while True:
                try:
                    return attempt(again)
                except Exception as error:
                    asked = passing(error)
                    left = began + self.outage_seconds - self.clock()
                    if asked is None or left <= 0:
                        raise
                again = waited[0] = True
                if self.clock() - began >= self.tell_after_seconds:
                    self._tell_of(door)
                self.sleep(min(max(asked, pause_seconds), left))
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    @contextmanager
    def _telling(self, door: str, began: float, *, prompt: bool) -> Iterator[list[bool]]:
        """Tell of a silence while it lasts, and count it; yield where a repetition is noted."""
        if not self.outage_seconds:
            yield [False]
            return
        repeated = [False]
        timer = threading.Timer(self.tell_after_seconds, self._tell_of, (door,))
        timer.daemon = True
        if prompt:
            timer.start()
        try:
            yield repeated
        finally:
            timer.cancel()
            took = self.clock() - began
            if repeated[0] or (prompt and took >= self.tell_after_seconds):
                self.silence.add(began, began + took)
        if self.silence.is_over(door) and self.tell:
            self.tell(f"{door} answers again, after {took:.0f} s")

    def _tell_of(self, door: str) -> None:
        if self.silence.is_news(door) and self.tell:
            self.tell(f"{door} does not answer; waiting, up to {self.outage_seconds:g} s")
