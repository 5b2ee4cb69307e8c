"""The only place that sleeps: wait for ourselves or for the target, or pause for a stated reason.

What we wait for ourselves raises when it does not come: we could not find out. What the target owes
comes back as a value, come or not, for a verdict to be made of.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hotfire.errors import HarnessError, TargetNotReady
from hotfire.time_spent import taking

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited(Generic[T]):
    """What became of a wait for the target: true if it did in time what it owed."""

    what: str
    within_seconds: float
    seen: T
    """The first truthy value, else the last falsy one."""

    def __bool__(self) -> bool:
        return bool(self.seen)

    def __str__(self) -> str:
        if self:
            return f"{self.what}: {self.seen!r}"
        return f"expected {self.what} within {self.within_seconds:g} s; last seen: {self.seen!r}"

    def required(self, *, because: str = "") -> T:
        """Return what was seen.

        Raises:
            TargetNotReady: the target did not do it in time, which fails what asked for it.
        """
        if not self:
            raise TargetNotReady("; ".join(filter(None, (str(self), because))))
        return self.seen


def until(
    predicate: Callable[[], T],
    *,
    within_seconds: float,
    what: str,
    poll_seconds: float = 0.2,
    excused_seconds: Callable[[], float] = lambda: 0.0,
) -> T:
    """Return the predicate's first truthy value: a wait of ours, such as for our own agents.

    The predicate is asked at least twice, however short the deadline: at once and at the deadline.

    Raises:
        HarnessError: it stayed falsy; the message tells ``what`` and the value last seen.
    """
    found = of_target(
        predicate,
        within_seconds=within_seconds,
        what=what,
        poll_seconds=poll_seconds,
        excused_seconds=excused_seconds,
    )
    if not found:
        raise HarnessError(str(found))
    return found.seen


def of_target(
    predicate: Callable[[], T],
    *,
    within_seconds: float,
    what: str,
    poll_seconds: float = 0.2,
    excused_seconds: Callable[[], float] = lambda: 0.0,
) -> Awaited[T]:
    """Wait for something the target owes; that it did not come is a value too, never an error.

    Whatever the predicate raises goes through: then we could not look, and nothing is known.
    ``excused_seconds`` tells how long, in all, we could not look so far; the deadline moves by what
    is added to that meanwhile.
    """
    began, excused_before = time.monotonic(), excused_seconds()
    with taking("wait", what):
        while not (seen := predicate()):
            excused = excused_seconds() - excused_before
            left = began + within_seconds + excused - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(poll_seconds, left))  # noqa: TID251 - this is the place that sleeps
    return Awaited(what=what, within_seconds=within_seconds, seen=seen)


def eventually(
    predicate: Callable[[], T], *, within_seconds: float, poll_seconds: float = 0.2
) -> T:
    """Return the predicate's first truthy value, or else its last one, for a check to judge."""
    # Told to nobody but the record of where the time went.
    what = getattr(predicate, "__name__", "a value")
    found = of_target(
        predicate, within_seconds=within_seconds, what=what, poll_seconds=poll_seconds
    )
    return found.seen


def pause(seconds: float, *, why: str) -> None:
    """Let time pass because the procedure asks for it, never to wait for an effect.

    Raises:
        ValueError: no reason was given.
    """
    if not why:
        raise ValueError("a pause needs a reason; to wait for an effect use until()")
    with taking("pause", why):
        time.sleep(max(0.0, seconds))  # noqa: TID251 - this is the place that sleeps
