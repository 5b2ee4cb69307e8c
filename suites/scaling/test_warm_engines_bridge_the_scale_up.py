"""Warm capacity bridges the scale-up reaction time.

From the first user of a peak to the first engine that comes for it minutes may pass: the metric's
way, the scheduler's, the load of the model. Whoever comes meanwhile is served by what stood there
before, or waits.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic

import pytest

from fixtures.autoscaling import READ_SECONDS, Autoscaler
from fixtures.demand import Demand
from fixtures.replicas import start_seconds
from hotfire import Evidence, Level, TargetProfile, Verdict, requirement
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.measure.budgets import BudgetResult, judge_budgets
from hotfire.measure.history import Request
from hotfire.measure.percentiles import percentile
from hotfire.measure.request_times import ttft_seconds
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import eventually

pytestmark = requirement(
    "SCA-008",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details",
    features={"autoscaling"},
)

BUDGET = "ttft_p95_seconds"
# Of the rated load, with which the ramp begins; there is no ramp from nothing.
BEGIN_RATIO = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """How long it takes from demand for one engine more to that engine, at most."""

    metric_seconds: float
    """Until another one was wanted: the metric was scraped, told and decided upon."""
    start_seconds: float
    """From then until it served."""
    load_seconds: float
    """Of these from its container's start, as its pod tells in whole seconds."""

    @property
    def seconds(self) -> float:
        return self.metric_seconds + self.start_seconds


def reaction_of(
    autoscaler: Autoscaler, demand: Demand, *, load_of: Callable[[Pod], float]
) -> Reaction:
    """Have demand for one engine more than the fewest, and wait until it serves.

    Raises:
        HarnessError: none comes.
    """
    fewest = autoscaler.rest()
    former, began = {pod.uid for pod in autoscaler.serving()}, monotonic()
    raised = demand.raise_above_target(fewest)
    eventually(
        lambda: autoscaler.replicas() > fewest, within_seconds=READ_SECONDS, poll_seconds=0.5
    )
    wanted_at, grown = monotonic(), autoscaler.grown(fewest + 1)
    served_at = monotonic()
    demand.end()
    newcomers = [pod for pod in autoscaler.serving() if pod.uid not in former]
    if not (grown and newcomers):
        raise HarnessError(f"{grown}: nothing scales at all; {raised.told}; SCA-001 judges that")
    return Reaction(
        metric_seconds=wanted_at - began,
        start_seconds=served_at - wanted_at,
        load_seconds=max(map(load_of, newcomers)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """Goes from next to nothing to the rated load."""

    load: Callable[..., RunningLoad]
    profile: TargetProfile

    @property
    def peak_per_second(self) -> float:
        return self.profile.load.rate_per_second

    def climbed(self, seconds: float) -> list[Request]:
        """Climb it in so long; return what became of its requests.

        Raises:
            InstrumentError: the load generator was not fit.
        """
        running = self.load(
            name="SCA-008",
            rate_per_second=BEGIN_RATIO * self.peak_per_second,
            rate_end_per_second=self.peak_per_second,
            duration_seconds=seconds,
        )
        running.wait_finished(seconds + self.profile.load.deadline_seconds + 60).check()
        return running.rows()

    def judged(self, rows: list[Request]) -> BudgetResult:
        """Return what became of the promise for first tokens.

        Raises:
            HarnessError: there is none.
        """
        for one in judge_budgets(rows, self.profile.budgets):
            if one.name == BUDGET:
                return one
        raise HarnessError(f"no time to the first token is promised: set budgets.{BUDGET}")


@pytest.fixture
def ramp(load: Callable[..., RunningLoad], profile: TargetProfile) -> Ramp:
    found = Ramp(load=load, profile=profile)
    # Nothing is tried for a promise that nobody gave.
    found.judged([])
    return found


def ttft_p95_without_seconds(rows: list[Request], reaction_seconds: float) -> float:
    """Return the TTFT, 95th percentile, if nobody could have served before the reaction's end."""
    began_ns = min(row.sched_ns for row in rows)
    waits = [reaction_seconds - (row.sched_ns - began_ns) / 1e9 for row in rows]
    seen = [ttft_seconds(row) if row.complete else math.inf for row in rows]
    late = (max(wait, ttft or 0.0) for wait, ttft in zip(waits, seen, strict=True))
    return percentile(late, 95)


@pytest.fixture
def load_of(cluster: Cluster, profile: TargetProfile) -> Callable[[Pod], float]:
    """How long a pod that serves took from its container's start."""

    def seconds(pod: Pod) -> float:
        document = cluster.get("Pod", pod.namespace, pod.name)
        return start_seconds(document, profile.engine.container) if document else math.nan

    return seconds


def test_ramp_as_long_as_the_reaction_keeps_first_tokens_in_time(
    autoscaler: Autoscaler,
    demand: Demand,
    ramp: Ramp,
    load_of: Callable[[Pod], float],
    evidence: Evidence,
) -> None:
    reaction = reaction_of(autoscaler, demand, load_of=load_of)
    evidence.record("reaction", asdict(reaction))
    warm = autoscaler.rest()
    rows = ramp.climbed(reaction.seconds)
    result = ramp.judged(rows)
    evidence.record("engines", {"warm": warm, "wanted_after_the_ramp": autoscaler.replicas()})
    evidence.record("ramp", {"requests": len(rows), "to_per_second": ramp.peak_per_second})
    evidence.record("budget", result.reason)
    assert result.verdict is not Verdict.FAILED, (
        f"{result.reason}; {warm} engines stood ready for a ramp of {reaction.seconds:.0f} s, and"
        " another one takes as long"
    )
    if result.verdict is not Verdict.PASSED:
        raise HarnessError(result.reason)
    check_control(rows, reaction, result.limit, evidence)


def check_control(
    rows: list[Request], reaction: Reaction, limit_seconds: float, evidence: Evidence
) -> None:
    """Negative control: if none had stood ready, those who came would have waited for the first."""
    without = ttft_p95_without_seconds(rows, reaction.seconds)
    evidence.record("ttft_p95_without_warm_engines_seconds", str(round(without, 2)))
    if without <= limit_seconds:
        raise HarnessError(
            f"an engine comes within {reaction.seconds:.1f} s, and without any the slowest"
            f" twentieth would wait for {without:.1f} s, of {limit_seconds:g} s that it may"
        )
