"""Setting a weight to 0 ends new traffic to that version within 10 s without cutting streams.

It is how a bad version is taken back. Whoever holds a connection to it goes on being sent there if
only the table of routes was changed, and whoever is being answered loses the answer if the version
is cut off instead.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import pytest

from fixtures.route_weights import RouteWeights, answered_by
from fixtures.stack import CANARY
from hotfire import Endpoint, Evidence, Level, requirement
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import pause

pytestmark = requirement(
    "GTW-005",
    Level.MUST,
    __doc__,
    source="https://gateway-api.sigs.k8s.io/guides/traffic-splitting/",
    features={"canary"},
)

WITHIN_SECONDS = 10.0
BEFORE_SECONDS, AFTER_SECONDS = 4.0, 3.0
"""How long it is looked at before the change, and beyond the time that is allowed."""
RATE_PER_SECOND, TOKENS = 10.0, 250
"""Half of ten streams a second, of a second and more each: several run whenever it happens."""
LEAST_STARTED, LEAST_RUNNING = 10, 3
FRESH_REQUESTS, CLIENTS = 60, 4


@dataclass(frozen=True)
class Change:
    """The requests around the change of the weight."""

    rows: list[Request]
    at_ns: int

    @cached_property
    def before(self) -> list[Request]:
        """Requests that the canary answered, sent before it."""
        return [row for row in self.canary if self.seconds_after(row) < 0]

    @cached_property
    def last_start_seconds(self) -> float:
        """When the canary got its last request; negative: before the change."""
        return max(map(self.seconds_after, self.canary))

    @cached_property
    def running(self) -> list[Request]:
        """Requests to the canary, or to who knows whom, that were running at the change."""
        sent = [row for row in self.rows if row.send_ns and row.send_ns < self.at_ns]
        running = [row for row in sent if (row.end_ns or 0) > self.at_ns]
        return [row for row in running if row.served_by in (CANARY, None)]

    @cached_property
    def canary(self) -> list[Request]:
        return [row for row in self.rows if row.served_by == CANARY]

    def seconds_after(self, row: Request) -> float:
        return ((row.send_ns or row.sched_ns) - self.at_ns) / 1e9


@pytest.fixture
def change(weights: RouteWeights, load: Callable[..., RunningLoad]) -> Change:
    """Half of the requests go to the canary, then the weight is 0, under one load."""
    weights.follow(50)
    plan = {"rate_per_second": RATE_PER_SECOND, "max_tokens": TOKENS, "process": "constant"}
    running = load(name="GTW-005", **plan)
    pause(BEFORE_SECONDS, why="the canary is to have been sent to, and streams to be running")
    at_ns = time.time_ns()
    weights.write(0)
    pause(WITHIN_SECONDS + AFTER_SECONDS, why="whether it still is sent to shows in this time")
    running.stop()
    return Change(running.rows(), at_ns)


def test_version_of_weight_zero_gets_nothing_new_and_loses_nothing(
    change: Change, endpoint: Endpoint, evidence: Evidence
) -> None:
    def one(turn: int) -> str:
        return answered_by(endpoint.chat(f"{turn}", max_tokens=1, fresh=True))

    with ThreadPoolExecutor(CLIENTS) as pool:
        fresh = list(pool.map(one, range(FRESH_REQUESTS)))
    started, running = len(change.before), len(change.running)
    cut = [row for row in change.running if row.failed]
    evidence.record("canary_requests_before", started)
    evidence.record("running_at_the_change", running)
    evidence.record("cut", len(cut))
    evidence.record("fresh_to_canary_afterwards", fresh.count(CANARY))
    # Negative control: a version that was not sent to, or had no stream to lose, shows nothing.
    if started < LEAST_STARTED or running < LEAST_RUNNING:
        raise HarnessError(
            f"before the change the canary got {started} requests, {running} were running at it;"
            f" {LEAST_STARTED} and {LEAST_RUNNING} are needed"
        )
    evidence.record("last_start_seconds", round(change.last_start_seconds, 2))

    assert change.last_start_seconds <= WITHIN_SECONDS, (
        f"a request went to the canary {change.last_start_seconds:.1f} s after its weight was 0"
    )
    assert CANARY not in fresh, f"{fresh.count(CANARY)} new connections led to the canary"
    assert not cut, f"{len(cut)} of {running} running streams were cut: {cut[0].detail}"
