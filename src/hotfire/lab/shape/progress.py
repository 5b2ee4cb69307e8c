"""Progress of long steps: one line per step, and a sign of life in long ones.

On a terminal the signs of life are one line that moves; elsewhere each is a line of its own.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hotfire.lab.shape.outlook import Outlook

Say = Callable[[str], None]
_HEARTBEAT_SECONDS = 20.0
_MOVE_SECONDS = 1.0


class Progress:
    """Prints steps as they end; safe to use from several threads."""

    def __init__(self, say: Say, move: Say | None = None) -> None:
        """Take where lines go; ``move`` shows one in place of the last, and none for no words."""
        self._say = say
        self._move = move
        self._outlook: Outlook | None = None
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {text}")

    @contextmanager
    def course(self, known_seconds: Mapping[str, float]) -> Iterator[None]:
        """Say with every step of the block how far it is; see `part`."""
        began = time.monotonic()
        self._outlook = Outlook(known_seconds, time.monotonic)
        try:
            yield
        finally:
            self._outlook = None
        self.note(f"{len(known_seconds)} parts in {time.monotonic() - began:.0f} s")

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Mark the steps of the block as those of one part of the course."""
        if self._outlook is None:
            yield
            return
        self._outlook.begin(name)
        yield
        self._outlook.end(name)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step that may take long, give signs of life, tell how long it took."""
        began = time.monotonic()
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(text, began, over), daemon=True)
        self._announce(text)
        beat.start()
        try:
            yield
        except BaseException:
            self._end(beat, over)
            self.note(f"{text}: stopped after {time.monotonic() - began:.1f} s")
            raise
        self._end(beat, over)
        # A course on a terminal is one line, and one more when it is over.
        if not (self._move and self._outlook):
            self.note(f"{text}: done in {time.monotonic() - began:.1f} s")

    def _announce(self, text: str) -> None:
        if self._move:
            self._move(f"{text}{self._how_far()}")
        else:
            self.note(f"{text}{self._how_far()} ...")

    def _end(self, beat: threading.Thread, over: threading.Event) -> None:
        over.set()
        beat.join()
        if self._move:
            self._move("")

    def _beat(self, text: str, began: float, over: threading.Event) -> None:
        while not over.wait(_MOVE_SECONDS if self._move else _HEARTBEAT_SECONDS):
            seconds = time.monotonic() - began
            if self._move:
                self._move(f"{text}{self._how_far()}: {seconds:.0f} s")
            else:
                self.note(f"{text}: still at it, {seconds:.0f} s so far{self._how_far()}")

    def _how_far(self) -> str:
        return f" ({self._outlook.words()})" if self._outlook else ""
