"""The response cache of the RAG application: one answer for all who ask the same."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hotfire import metrics
from hotfire.engine.rag import response_cache
from hotfire.engine.rag.part import Answer, Metrics, refused
from hotfire.engine.rag.response_cache import HITS, MISSES, ResponseCache
from hotfire.waiting import until

TOGETHER = 6
Make = Callable[[], Answer]


class Engine:
    """Answers in two pieces, the second when it is let go on; counts how often it was asked."""

    def __init__(self, *, headers: dict[str, str] | None = None, breaks: bool = False) -> None:
        self.asked, self.told, self.closed = 0, Metrics(), threading.Event()
        self.go_on, self.begun = threading.Event(), threading.Event()
        self._headers, self._breaks = headers or {}, breaks
        self.cache = ResponseCache(self.told)

    def make(self) -> Answer:
        self.asked += 1
        return Answer(200, self._pieces(), self._headers)

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield b"one "
            self.begun.set()
            assert self.go_on.wait(20)
            if self._breaks:
                raise ConnectionResetError
            yield b"two"
        finally:
            self.closed.set()

    def read(self, make: Make | None = None) -> bytes:
        answer = self.cache.answer("question", make or self.make)
        assert answer is not None
        return b"".join(answer.content) if not isinstance(answer.content, bytes) else b"?"

    def counted(self, name: str) -> float:
        page = self.told.page().content
        assert isinstance(page, bytes)
        return metrics.parse(page.decode()).total(name) or 0.0


def test_all_who_ask_at_once_have_one_answer_and_all_of_it() -> None:
    engine = Engine()
    with ThreadPoolExecutor(TOGETHER) as pool:
        asked = [pool.submit(engine.read) for _ in range(TOGETHER)]
        until(lambda: engine.counted(HITS) == TOGETHER - 1, within_seconds=20, what="all ask")
        engine.go_on.set()
        answers = {one.result(timeout=20) for one in asked}

    assert answers == {b"one two"}
    assert (engine.asked, engine.counted(MISSES)) == (1, 1)


def test_it_is_read_while_it_is_made_and_kept_when_it_is_whole() -> None:
    engine = Engine()
    answer = engine.cache.answer("question", engine.make)
    assert answer is not None
    assert not isinstance(answer.content, bytes)
    pieces = iter(answer.content)

    first = next(pieces)
    engine.go_on.set()

    assert (first, b"".join(pieces)) == (b"one ", b"two")
    assert (engine.read(), engine.asked) == (b"one two", 1)


def test_what_breaks_off_is_broken_for_all_and_made_anew_for_the_next() -> None:
    engine = Engine(breaks=True)
    engine.go_on.set()

    for _ in range(2):
        with pytest.raises(ConnectionError):
            engine.read()

    assert engine.asked == 2


@pytest.mark.parametrize("made", ["refused", "degraded"])
def test_what_is_no_whole_answer_is_not_kept(made: str) -> None:
    engine = Engine(headers={"X-Rag-Degraded": "context"})
    engine.go_on.set()
    make = engine.make if made == "degraded" else lambda: refused(503, "Later.")

    assert engine.read(make) == engine.read(make)
    assert (engine.counted(HITS), engine.counted(MISSES)) == (0, 2)


def test_an_answer_that_never_begins_is_told_to_those_who_wait() -> None:
    engine = Engine()

    def away() -> Answer:
        raise ConnectionRefusedError

    assert engine.cache.answer("question", away) is None


def test_what_nobody_reads_any_more_is_not_made_to_its_end() -> None:
    engine = Engine()
    answer = engine.cache.answer("question", engine.make)
    assert answer is not None
    pieces = iter(answer.content)
    next(pieces)

    del answer, pieces
    engine.go_on.set()

    assert engine.closed.wait(20)
    assert engine.read() == b"one two"
    assert engine.asked == 2


def test_what_was_kept_for_its_time_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.go_on.set()
    engine.read()
    monkeypatch.setattr(response_cache, "KEPT_SECONDS", 0.0)

    engine.read()

    assert engine.asked == 2


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_cache, "MOST_KEPT", 1)
    engine = Engine()
    engine.go_on.set()
    engine.read()
    other = engine.cache.answer("another", engine.make)
    assert other is not None

    engine.read()

    assert engine.asked == 3
