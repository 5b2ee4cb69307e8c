"""The only place that sleeps: wait for a condition, or pause for a stated reason."""

import time
from collections.abc import Callable
from typing import TypeVar

from hotfire.errors import HarnessError

T = TypeVar("T")


def until(
    predicate: Callable[[], T],
    *,
    within_seconds: float,
    what: str,
    poll_seconds: float = 0.2,
) -> T:
    """Return the predicate's first truthy value.

    The predicate is asked at least twice, however short the deadline: at once and at the deadline.

    Raises:
        HarnessError: it stayed falsy; the message tells ``what`` and the value last seen.
    """
    seen = eventually(predicate, within_seconds=within_seconds, poll_seconds=poll_seconds)
    if not seen:
        raise HarnessError(f"expected {what} within {within_seconds:g} s; last seen: {seen!r}")
    return seen


def eventually(
    predicate: Callable[[], T], *, within_seconds: float, poll_seconds: float = 0.2
) -> T:
    """Return the predicate's first truthy value, or else its last one.

    For what the target promised to do: that it did not is its behaviour, to be judged by a check.
    """
    deadline = time.monotonic() + within_seconds
    while not (seen := predicate()):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(poll_seconds, left))  # noqa: TID251 - this is the place that sleeps
    return seen


def pause(seconds: float, *, why: str) -> None:
    """Let time pass because the procedure asks for it, never to wait for an effect.

    Raises:
        ValueError: no reason was given.
    """
    if not why:
        raise ValueError("a pause needs a reason; to wait for an effect use until()")
    time.sleep(max(0.0, seconds))  # noqa: TID251 - this is the place that sleeps
