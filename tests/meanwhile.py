"""What a controller does beside a test: the same again and again, until a block ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread


@contextmanager
def meanwhile(work: Callable[[], object], *, every_seconds: float = 0.02) -> Iterator[None]:
    """Do something every few milliseconds, in a thread of its own."""
    over = Event()

    def turn() -> None:
        while not over.wait(every_seconds):
            work()

    thread = Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
