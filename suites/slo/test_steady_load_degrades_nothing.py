"""Nothing degrades over hours of steady load.

An engine that leaks, or that slows with every request, passes each short test and fails at night.
What counts is the upper bound of each trend: that no rise was found would prove nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

import pytest

from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, Verdict, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.measure.columns import Columns
from hotfire.measure.trend import FEWEST, Samples, Trend, drifting, p95_over_time, trend
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import pause

pytestmark = requirement(
    "SLO-005",
    Level.SHOULD,
    __doc__,
    source="https://sre.google/sre-book/testing-reliability/",
)

AT_MOST = 0.05
SAMPLES = 40
# The first part of a run fills pools and caches: that is no trend.
SETTLING = 0.2
WINDOWS = 20
DRIFT_PER_MINUTE = 0.01
# Where a run is too short for that drift to exceed what is allowed, the control's is this multiple.
CLEARLY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Something that must not rise."""

    name: str
    samples: Samples
    floor: float = 0.0
    """A rise that lies within what the operator calls noise, in the unit of the series."""

    @property
    def trend(self) -> Trend:
        """Return how it went.

        Raises:
            HarnessError: it has too few samples.
        """
        return self._of(self.samples)

    def drifted(self) -> Trend:
        """Return how the same samples would have gone with a drift, for the negative control."""
        minutes = (self.samples[-1][0] - self.samples[0][0]) / 60
        rate = max(DRIFT_PER_MINUTE, CLEARLY * self.at_most / minutes)
        return self._of(drifting(self.samples, per_minute=rate))

    @property
    def at_most(self) -> float:
        """Return the share by which it may rise over the run."""
        return max(AT_MOST, self.floor / self.trend.level)

    def _of(self, samples: Samples) -> Trend:
        found = trend(samples)
        if found is None:
            raise HarnessError(
                f"{self.name}: {len(samples)} samples, {FEWEST} with an answer are needed; make"
                " measurement.soak_seconds longer"
            )
        return found


@dataclass(slots=True, kw_only=True)
class Soak:
    """One long rated load, and what the engines used meanwhile."""

    agent: AgentClient
    stack: Stack
    engine: str
    """Name of its container."""
    load: RunningLoad
    seconds: float
    memory: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def watch(self) -> None:
        """Look at the engines' memory while the load lasts."""
        began, at = monotonic(), 0.0
        while at < self.seconds and self.load.alive():
            pause(self.seconds / SAMPLES, why="a trend is a matter of time")
            at = monotonic() - began
            if at > SETTLING * self.seconds:
                self._look(at)

    def _look(self, at: float) -> None:
        for pod in self.stack.engines():
            # One that is away has restarted, and is judged for that.
            with suppress(HarnessError):
                self.memory.setdefault(pod.name, []).append((at, self._used_bytes(pod)))

    def _used_bytes(self, pod: Pod) -> float:
        found = pod.container(self.engine)
        if found is None:
            raise HarnessError(f"{pod.name} has no container {self.engine}")
        use = self.agent.container_use(pod.node, pod_uid=pod.uid, container_id=found.container_id)
        return float(use.working_set_bytes)

    def restarts(self) -> dict[str, int]:
        """Return how often each engine was restarted so far."""
        return {pod.name: pod.restarts for pod in self.stack.engines()}

    def series(self, profile: TargetProfile) -> Iterator[Series]:
        """Yield what must not rise, once the load has ended."""
        for name, samples in self.memory.items():
            yield Series(name=f"memory of {name}", samples=samples)
        rows = sorted(self.load.rows(), key=lambda row: row.sched_ns)
        settled = Columns.of([row for row in rows[int(SETTLING * len(rows)) :] if row.sent])
        noise = profile.measurement
        for name, latency, floor in (
            ("p95 TTFT", settled.ttft, noise.band_floor_seconds),
            ("p95 TPOT", settled.tpot, noise.band_floor_tpot_seconds),
        ):
            samples = p95_over_time(settled, latency, windows=WINDOWS)
            yield Series(name=name, samples=samples, floor=floor)


@pytest.fixture
def soak(
    profile: TargetProfile,
    load: Callable[..., RunningLoad],
    agent: AgentClient,
    stack: Stack,
) -> Soak:
    seconds = profile.measurement.soak_seconds
    # What is looked at in the end is looked at under load.
    running = load(name="SLO-005", duration_seconds=1.2 * seconds + 60)
    return Soak(
        agent=agent,
        stack=stack,
        engine=profile.engine.container,
        load=running,
        seconds=seconds,
    )


def restarted(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """Return the engines that were restarted, replaced or lost."""
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]


def test_no_trend_rises(profile: TargetProfile, soak: Soak, evidence: Evidence) -> None:
    before = soak.restarts()
    soak.watch()
    lost = restarted(before, soak.restarts())
    report = soak.load.stop()
    evidence.record("soak_seconds", soak.seconds)
    evidence.record("restarted", sorted(lost))
    assert not lost, f"under a steady load {', '.join(sorted(lost))} did not go on"
    series = list(soak.series(profile))
    trends = {one.name: one.trend for one in series}
    evidence.record("trends", {name: str(found) for name, found in trends.items()})
    evidence.record("may_rise_by", {one.name: round(one.at_most, 4) for one in series})
    verdicts = {one.name: trends[one.name].judge(one.at_most) for one in series}

    rising = [f"{n} by {trends[n]}" for n, found in verdicts.items() if found is Verdict.FAILED]
    assert not rising, f"under a steady load rises {'; '.join(rising)}"
    report.check()
    unsure = [n for n, found in verdicts.items() if found is not Verdict.PASSED]
    if unsure:
        told = "; ".join(f"{name} {trends[name]}" for name in unsure)
        raise HarnessError(
            f"too noisy to bound: {told}; make soak_seconds longer than {soak.seconds:g}"
        )
    # Negative control: the same samples with a drift are found to rise.
    missed = [one.name for one in series if one.drifted().judge(one.at_most) is not Verdict.FAILED]
    if missed:
        raise HarnessError(f"a drift that was put in was not found: {', '.join(missed)}")
