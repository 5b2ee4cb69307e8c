"""Progress of long steps: one line per step, and a sign of life in long ones."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]
_HEARTBEAT_SECONDS = 20.0


class Progress:
    """Prints steps as they end; safe to use from several threads."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {text}")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step that may take long, give signs of life, tell how long it took."""
        began = time.monotonic()
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(text, began, over), daemon=True)
        self.note(f"{text} ...")
        beat.start()
        try:
            yield
        except BaseException:
            self.note(f"{text}: stopped after {time.monotonic() - began:.1f} s")
            raise
        else:
            self.note(f"{text}: done in {time.monotonic() - began:.1f} s")
        finally:
            over.set()

    def _beat(self, text: str, began: float, over: threading.Event) -> None:
        while not over.wait(_HEARTBEAT_SECONDS):
            self.note(f"{text}: still at it, {time.monotonic() - began:.0f} s so far")
