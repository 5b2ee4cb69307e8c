"""GPU time that is allocated but idle, and held by incomplete gangs, is reported.

A GPU that somebody holds and does not use costs as much as one that works, and nobody else can have
it: a notebook over the weekend, a gang that waits for its last member. An average over all GPUs of
the cluster hides that, since it takes a free GPU, which anybody may have, for the same thing. So we
hold one GPU and let it work; then it rests, which the report has to add; then we give it back,
which it has to take away.
"""

from dataclasses import dataclass

import pytest

from fixtures.gpu_load import GpuLoad
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.errors import HarnessError
from hotfire.prometheus import Prometheus
from hotfire.waiting import Awaited, of_target, pause

pytestmark = requirement(
    "OBS-008",
    Level.SHOULD,
    __doc__,
    source="https://docs.nvidia.com/datacenter/cloud-native/gpu-telemetry/latest/dcgm-exporter.html",
    features={"idle-report"},
)

WINDOW = "$window"
# Of one GPU: what counts as reported, as reported no more, and as more than there is.
MOST, LITTLE, TOO_MUCH = 0.75, 0.25, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The declared report, over a window as long as telemetry may be old."""

    server: Prometheus
    query: str
    window_seconds: int

    def idle_gpus(self) -> float:
        """Return how many GPUs were allocated and idle, on average over the window.

        Raises:
            HarnessError: the report has no value.
        """
        query = self.query.replace(WINDOW, f"{self.window_seconds}s")
        seconds = self.server.total(query)
        if seconds is None:
            raise HarnessError(f"{query} has no value: a report of nothing is no report of 0")
        return seconds / self.window_seconds

    def awaited(self, low: float, high: float, what: str) -> Awaited[bool]:
        """Wait until it is between two numbers; what changed may be one window late."""
        return of_target(
            lambda: low <= self.idle_gpus() <= high,
            within_seconds=2 * self.window_seconds,
            what=what,
            poll_seconds=1.0,
        )


@pytest.fixture
def report(prometheus: Prometheus | None, profile: TargetProfile) -> Report:
    query = profile.accelerator.idle_seconds_query
    if prometheus is None or query is None:
        raise HarnessError(
            "idle-report is claimed; set prometheus_url and accelerator.idle_seconds_query"
        )
    seconds = max(1, round(profile.telemetry_age_seconds))
    return Report(server=prometheus, query=query, window_seconds=seconds)


def test_a_held_gpu_is_reported_while_it_is_idle(
    report: Report, gpu_load: GpuLoad, scratch: Scratch, evidence: Evidence
) -> None:
    gpu_load.start()
    gpu_load.work()
    pause(1.5 * report.window_seconds, why="the window holds nothing of the time before")
    working = report.idle_gpus()
    evidence.record("idle_while_working", working)
    gpu_load.rest()
    added = report.awaited(working + MOST, float("inf"), "the report of an idle GPU that we hold")
    pause(report.window_seconds / 2, why="the window holds nothing of the time before")
    held = report.idle_gpus()
    evidence.record("idle_while_held", held)
    assert added, f"{added}: with ours at work it told of {working:.2f} idle GPUs, then {held:.2f}"
    assert held - working <= TOO_MUCH, f"one GPU more is idle, {held - working:.2f} are reported"

    # Negative control: it is as idle when nobody holds it, and anybody may have it.
    scratch.clear()
    gone = report.awaited(0, working + LITTLE, "the report without the GPU that we gave back")
    free = report.idle_gpus()
    evidence.record("idle_when_given_back", free)
    assert gone, f"{gone}: with ours at work it told of {working:.2f}, without it of {free:.2f}"
