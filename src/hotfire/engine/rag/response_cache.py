"""Answers of the last minute for whoever asks the very same, and one for all who ask at once.

When a cache is cold, as after a roll-out, a popular question comes from many users before its first
answer is there. Each of them would have an engine read and write the same; here the first one's
answer goes to all of them as it comes.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException
from threading import Condition, Lock, Thread

from hotfire.engine.rag.part import Answer, Metrics

KEPT_SECONDS, MOST_KEPT = 60.0, 300
HITS, MISSES = "rag_response_cache_hits_total", "rag_response_cache_misses_total"
Make = Callable[[], Answer]


class Shared:
    """An answer that is on its way, or was: whoever reads it has all of it from its beginning."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.over = False
        self._changed = Condition()
        self._head: Answer | None = None
        self._pieces: list[bytes] = []
        self._broken = False
        self._readers = 1

    @property
    def old(self) -> bool:
        return self.over and time.monotonic() - self.began > KEPT_SECONDS

    def join(self) -> bool:
        """Count one more who reads it; return False where it broke off, so that nobody may."""
        with self._changed:
            self._readers += not self._broken
            return not self._broken

    def fill(self, make: Make) -> bool:
        """Have it made, piece by piece; return whether it is whole, and lacks nothing."""
        try:
            made = make()
            with self._changed:
                self._head = replace(made, content=b"")
                self._changed.notify_all()
            whole = self._filled(made.content)
        except (OSError, HTTPException):
            made, whole = Answer(HTTPStatus.BAD_GATEWAY), False
        with self._changed:
            self.over, self._broken = True, not whole
            self._changed.notify_all()
        return whole and made.status == HTTPStatus.OK and not made.headers

    def _filled(self, content: bytes | Iterable[bytes]) -> bool:
        """Add its pieces; return whether all came, which they do not where nobody reads them."""
        for piece in [content] if isinstance(content, bytes) else content:
            with self._changed:
                if not self._readers:
                    self._broken = True
                    return False
                self._pieces.append(piece)
                self._changed.notify_all()
        return True

    def answer(self) -> Answer | None:
        """Return it, with pieces that come as they are made; None where nothing is to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._head is not None or self.over)
            head = self._head
        if head is None:
            self._left()
            return None
        return replace(head, content=self._read())

    def _read(self) -> Iterator[bytes]:
        read = 0
        try:
            while True:
                pieces = self._beyond(read)
                if not pieces:
                    break
                yield from pieces
                read += len(pieces)
        finally:
            self._left()
        if self._broken:
            raise ConnectionError("the answer broke off")

    def _beyond(self, read: int) -> list[bytes]:
        """Return what comes after so many pieces, once there is some; nothing: no more comes."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._pieces) > read or self.over)
            return self._pieces[read:]

    def _left(self) -> None:
        with self._changed:
            self._readers -= 1


class ResponseCache:
    """Answers by what was asked."""

    def __init__(self, metrics: Metrics) -> None:
        self._lock, self._metrics = Lock(), metrics
        self._shared: dict[str, Shared] = {}

    def answer(self, asked: str, make: Make) -> Answer | None:
        """Return the answer that is kept or on its way, else have it made; None: it broke."""
        found, missed = self._found(asked)
        self._metrics.count(MISSES if missed else HITS)
        if missed:
            # On behalf of whoever is the first to ask.
            making = copy_context()
            Thread(target=making.run, args=(self._fill, asked, found, make), daemon=True).start()
        return found.answer()

    def _found(self, asked: str) -> tuple[Shared, bool]:
        """Return what there is of an answer; else one that is to be made, and that it is so."""
        with self._lock:
            found = self._shared.pop(asked, None)
            missed = found is None or found.old or not found.join()
            answer = Shared() if found is None or missed else found
            self._shared[asked] = answer
            while len(self._shared) > MOST_KEPT:
                del self._shared[next(iter(self._shared))]
            return answer, missed

    def _fill(self, asked: str, shared: Shared, make: Make) -> None:
        if shared.fill(make):
            return
        with self._lock:
            if self._shared.get(asked) is shared:
                del self._shared[asked]
