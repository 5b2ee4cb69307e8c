"""The pump keeps time, and lets others live when it is behind."""

import time
from typing import Any

import gevent

from hotfire.traffic.plan import NANO, LoadPlan
from hotfire.traffic.pump import OpenPump
from hotfire.traffic.session import Share


class Late:
    """As much of a session as a pump needs, which began so long ago that all is overdue."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan, self.share = plan, Share()
        self.t0_ns = time.monotonic_ns() - 3600 * NANO
        self.stopped_ns: int | None = None
        self.submitted = self.checked = 0

    def submit(self, seq: int, sched_ns: int) -> None:
        self.submitted += 1

    def check(self) -> None:
        self.checked += 1


def test_a_pump_that_is_behind_can_be_stopped() -> None:
    plan = LoadPlan(url="http://g", model="m", rate_per_second=1e6, duration_seconds=100)
    session: Any = Late(plan)

    def stop() -> None:
        session.stopped_ns = time.monotonic_ns()

    gevent.spawn(stop)
    with gevent.Timeout(20):
        ended = OpenPump(session).run()

    assert not ended
    assert 0 < session.submitted < 100_000_000
    assert session.checked > 0
