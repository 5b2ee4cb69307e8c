"""Where the time of a case goes: what its thread waited for, asked, or had done elsewhere.

Whoever takes time says what for. Of what lies within another only the outer counts, and only what
the case's own thread does: so the times of a case never add up to more than it took.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["wait", "pause", "request", "API call", "command"]
_SHORTEST_SECONDS: Final = 0.05


class Ledger:
    """The seconds that were taken, by kind and purpose."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._taken: dict[tuple[Kind, str], list[float]] = defaultdict(list)

    def add(self, kind: Kind, what: str, seconds: float) -> None:
        """Enter one time."""
        self._taken[kind, what].append(seconds)

    def entries(self) -> list[dict[str, object]]:
        """Return kind, purpose, seconds and times of each, the longest first, as JSON has them.

        What took below 50 ms in all is one entry a kind, without a purpose.
        """
        found: dict[tuple[Kind, str], list[float]] = defaultdict(list)
        for (kind, what), taken in self._taken.items():
            found[kind, what if sum(taken) >= _SHORTEST_SECONDS else ""] += taken
        ordered = sorted(found.items(), key=lambda pair: -sum(pair[1]))
        return [
            {"kind": kind, "what": what, "seconds": round(sum(taken), 3), "times": len(taken)}
            for (kind, what), taken in ordered
        ]


_LEDGER: Final[ContextVar[Ledger | None]] = ContextVar("ledger", default=None)


@contextmanager
def ledger() -> Iterator[Ledger]:
    """Note in a new ledger what this thread takes time for within the block."""
    made = Ledger()
    token = _LEDGER.set(made)
    try:
        yield made
    finally:
        _LEDGER.reset(token)


@contextmanager
def taking(kind: Kind, what: str) -> Iterator[None]:
    """Note how long the block takes, and for what; within another such block it is that one's."""
    open_ledger = _LEDGER.get()
    if open_ledger is None:
        yield
        return
    token, began = _LEDGER.set(None), time.monotonic()
    try:
        yield
    finally:
        _LEDGER.reset(token)
        open_ledger.add(kind, what, time.monotonic() - began)
