"""What makes requests due: the plan's clock (open loop), or the end of the one before (closed)."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import Protocol

import gevent

from hotfire.traffic.workload.arrivals import Arrival
from hotfire.traffic.workload.plan import NANO, LoadPlan, arrivals_of

POLL_SECONDS = 0.2
SHIFT_NS = NANO // 100
TURN_SECONDS = 1e-6
"""Turn of the others; gevent's sleep(0) comes back many times before it looks at timers."""
REST_NS = NANO // 10
"""Pause of a slot after a failure: a target that refuses at once must not be asked in a spin."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the arrivals this process takes: those with seq mod workers = worker."""

    worker: int = 0
    workers: int = 1


WHOLE = Share()


class Paced(Protocol):
    """What a pump makes requests due for: one process's share of a load (``session.Session``)."""

    plan: LoadPlan
    share: Share
    t0_ns: int
    stopped_ns: int | None

    @property
    def ahead_ns(self) -> int:
        """How long before its time a request is handed over."""

    def submit(self, seq: int, sched_ns: int) -> None:
        """Hand a request over."""

    def check(self) -> None:
        """Raise if what sends the requests is dead."""


class Pump(Protocol):
    """Submits requests until the plan ends or the session is stopped."""

    unsent_count: int

    def run(self) -> bool:
        """Submit what is due; return whether the plan came to its end."""

    def on_end(self, complete: bool, end_ns: int | None) -> None:
        """Hear of a request's end, in the reactor's thread."""

    def unsent(self, stopped_ns: int) -> Iterator[Arrival]:
        """Return, and count, what was due before the stop and not submitted any more."""


class OpenPump:
    """Hands each arrival over shortly before its time, whatever became of those before."""

    def __init__(self, session: Paced) -> None:
        self._session = session
        share = session.share
        self._arrivals = arrivals_of(session.plan, worker=share.worker, workers=share.workers)
        self._waiting: list[Arrival] = []
        self.unsent_count = 0

    def run(self) -> bool:
        """Submit what is due; return whether the plan came to its end."""
        session, shift = self._session, TimeSlice()
        due_ns, ahead_ns = session.t0_ns, session.ahead_ns
        for arrival in self._arrivals:
            due_ns = session.t0_ns + arrival.offset_ns
            if shift.over or due_ns - ahead_ns > time.monotonic_ns():
                # Not at each moment that is due, but for many of them at a time.
                wait_until(session, due_ns - ahead_ns // 2)
                shift = TimeSlice()
            if session.stopped_ns is not None:
                self._waiting.append(arrival)
                return False
            session.submit(arrival.seq, due_ns)
        wait_until(session, due_ns)
        return session.stopped_ns is None

    def on_end(self, complete: bool, end_ns: int | None) -> None:
        """An open loop does not care."""

    def unsent(self, stopped_ns: int) -> Iterator[Arrival]:
        """Return, and count, what was due before the stop and not submitted any more."""
        shift = TimeSlice()
        for arrival in chain(self._waiting, self._arrivals):
            if self._session.t0_ns + arrival.offset_ns > stopped_ns:
                return
            if shift.over:
                gevent.sleep(TURN_SECONDS)
                shift = TimeSlice()
            self.unsent_count += 1
            yield arrival


class ClosedPump:
    """Keeps a number of slots busy: a request is due at the moment its slot became free."""

    unsent_count = 0

    def __init__(self, session: Paced) -> None:
        self._session = session
        plan, share = session.plan, session.share
        self._slots = range(share.worker, plan.concurrency, share.workers)
        # Both threads take from it; a count hands out each number once.
        self._seqs = count(share.worker, share.workers)
        self._resting: deque[int] = deque()
        self._end_ns = session.t0_ns + round(plan.duration_seconds * NANO)

    def run(self) -> bool:
        """Start the slots, then those that rest; return whether the plan came to its end."""
        session = self._session
        spread = session.plan.start_spread_seconds / session.plan.concurrency
        starts = deque(session.t0_ns + round(slot * spread * NANO) for slot in self._slots)
        while session.stopped_ns is None and time.monotonic_ns() < self._end_ns:
            for queue in (starts, self._resting):
                while queue and queue[0] <= time.monotonic_ns():
                    self._submit(queue.popleft())
            nearest = min((queue[0] for queue in (starts, self._resting) if queue), default=None)
            wait_until(session, min(nearest or self._end_ns, soon()))
        return session.stopped_ns is None

    def on_end(self, complete: bool, end_ns: int | None) -> None:
        """Use the free slot again."""
        free_ns = time.monotonic_ns() if end_ns is None else end_ns
        if self._session.stopped_ns is not None or free_ns >= self._end_ns:
            return
        if complete:
            self._submit(free_ns)
        else:
            self._resting.append(free_ns + REST_NS)

    def _submit(self, sched_ns: int) -> None:
        self._session.submit(next(self._seqs), sched_ns)

    def unsent(self, stopped_ns: int) -> Iterator[Arrival]:
        """Return nothing: what was not submitted was not due."""
        return iter(())


def soon() -> int:
    """Return when to look again."""
    return time.monotonic_ns() + round(POLL_SECONDS * NANO)


def wait_until(session: Paced, due_ns: int) -> None:
    """Let greenlets run, at least once, until a moment or the stop."""
    while session.stopped_ns is None:
        session.check()
        left = (due_ns - time.monotonic_ns()) / NANO
        gevent.sleep(min(max(left, TURN_SECONDS), POLL_SECONDS))
        if time.monotonic_ns() >= due_ns:
            return


class TimeSlice:
    """The time for which this greenlet may work before others get their turn."""

    def __init__(self) -> None:
        self._end_ns = time.monotonic_ns() + SHIFT_NS

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic_ns() >= self._end_ns
