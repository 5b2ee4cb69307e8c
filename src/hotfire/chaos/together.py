"""Asking many nodes side by side: a fault may have hundreds of targets, and its lease runs."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_AT_ONCE: Final = 32
Asked = TypeVar("Asked")
Told = TypeVar("Told")


def side_by_side(ask: Callable[[Asked], Told], those: Sequence[Asked]) -> list[Told]:
    """Return what each answers, in their order; the first that raises is raised when all ended."""
    if len(those) < 2:
        return [ask(one) for one in those]
    with ThreadPoolExecutor(min(_AT_ONCE, len(those))) as pool:
        return list(pool.map(ask, those))
