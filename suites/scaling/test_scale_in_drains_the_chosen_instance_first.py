"""Scale-in drains the chosen instance first.

Scaling in happens many times a day, each time the demand goes down, and never while nobody is
there. An instance that is taken away at once takes with it the answers that it was giving.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fixtures.autoscaling import Autoscaler
from fixtures.demand import ANSWER_SECONDS, Demand
from fixtures.long_streams import settled
from fixtures.replicas import kill_to_its_end
from fixtures.stack import Stack
from fixtures.within_engines import WithinEngines
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Pod
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import Awaited, of_target, until

pytestmark = requirement(
    "SCA-007",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
    features={"autoscaling"},
)

# Until those that a kill cuts know of it.
KILLED_SECONDS = 2.0
TRIES = 2
"""Whom the autoscaler chooses may have nothing in hand at that moment: then once more."""
_DEFAULT_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The engines, what each has in hand, and the way to end one."""

    cluster: Cluster
    stack: Stack
    agent: AgentClient
    within: WithinEngines
    profile: TargetProfile

    def in_hand(self, pods: list[Pod]) -> float | None:
        """Return how many requests engines work on, as they say; None: one tells nothing more."""
        running = self.within.spoken.series("running")
        try:
            pages = [self.within.spoken.read(pod.name, self.within.page(pod).text) for pod in pods]
        except HarnessError:
            return None
        told = [page.total(running.name, **running.labels) for page in pages]
        return None if None in told else sum(each or 0.0 for each in told)

    def gone(self, pods: list[Pod]) -> Awaited[bool]:
        """Wait until pods that were told to go are gone."""

        def absent() -> bool:
            there = {pod.uid for pod in self.cluster.pods(self.stack.namespace)}
            return there.isdisjoint(pod.uid for pod in pods)

        spec = self.stack.replicated().pod_spec
        grace = float(spec.get("terminationGracePeriodSeconds") or _DEFAULT_GRACE_SECONDS)
        return of_target(
            absent,
            within_seconds=self.profile.waits.pod_gone_seconds + grace,
            what=f"{', '.join(pod.name for pod in pods)} gone",
            excused_seconds=self.cluster.silent_seconds,
        )

    def kill_busiest(self) -> None:
        """Kill the container of the engine with most in hand, and wait until it has ended."""
        serving = self.within.serving()
        victim = max(serving, key=lambda pod: self.in_hand([pod]) or 0.0)
        kill_to_its_end(self.cluster, self.agent, victim, self.profile.engine.container)


@pytest.fixture
def ground(
    cluster: Cluster,
    stack: Stack,
    agent: AgentClient,
    within_engines: WithinEngines,
    profile: TargetProfile,
) -> Iterator[Ground]:
    yield Ground(cluster=cluster, stack=stack, agent=agent, within=within_engines, profile=profile)
    stack.wait_ready()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIn:
    """What was taken away, and what became of those who were served meanwhile."""

    names: str
    in_hand: float | None
    """How many requests it had when it was told to go; None: it did not say."""
    gone: Awaited[bool]
    rows: list[Request]
    """Of the streams that ended since fewer engines were enough: what broke before is nobody's
    scaling."""

    @property
    def lost(self) -> list[Request]:
        return [row for row in self.rows if row.failed]

    @property
    def tells(self) -> bool:
        """Whether it shows anything: somebody had to go who was at work, or did harm by it."""
        return bool(self.in_hand or self.lost or not self.gone)


def scaled_in(
    autoscaler: Autoscaler, demand: Demand, ground: Ground, streams: RunningLoad, *, kept: int
) -> ScaleIn:
    """Have more engines than are kept, end the demand for them, and wait until they are gone.

    Raises:
        HarnessError: none comes, or none goes.
    """
    demand.raise_above_target(kept)
    grown = autoscaler.grown(max(kept + 1, autoscaler.replicas()))
    if not grown:
        raise HarnessError(f"{grown}: nothing can be scaled in; SCA-001 judges that")
    engines, possible_ns = autoscaler.serving(), time.time_ns()
    demand.end()
    shrunk, told_ns = autoscaler.shrunk(kept), time.time_ns()
    if not shrunk:
        raise HarnessError(f"{shrunk}: nothing was scaled in; SCA-001 judges that")
    left = {pod.uid for pod in autoscaler.serving()}
    chosen = [pod for pod in engines if pod.uid not in left]
    in_hand, gone = ground.in_hand(chosen), ground.gone(chosen)
    until(
        lambda: settled(streams.rows(), told_ns),
        within_seconds=ground.profile.load.deadline_seconds + 2 * ANSWER_SECONDS,
        what="every stream ended that began before an engine was told to go",
    )
    rows = [row for row in streams.rows() if (row.end_ns or 0) > possible_ns]
    names = ", ".join(pod.name for pod in chosen)
    return ScaleIn(names=names, in_hand=in_hand, gone=gone, rows=rows)


def test_streams_of_an_instance_that_is_taken_away_end_whole(
    autoscaler: Autoscaler, demand: Demand, ground: Ground, evidence: Evidence
) -> None:
    # Few go at a time, and more streams than engines stay, so that some are on those that go.
    kept = min(autoscaler.calm() + 1, autoscaler.bounds()[1] - 1)
    count = max(1, demand.at_target(kept) - 1)
    streams = demand.streams(count, grace_seconds=KILLED_SECONDS)
    taken = scaled_in(autoscaler, demand, ground, streams, kept=kept)
    for _ in range(TRIES - 1):
        if not taken.tells:
            taken = scaled_in(autoscaler, demand, ground, streams, kept=kept)
    evidence.record("taken_away", taken.names)
    evidence.record("streams", {"all": len(taken.rows), "in_hand_when_told": taken.in_hand})
    evidence.record("lost", len(taken.lost))
    assert taken.gone, str(taken.gone)
    assert not taken.lost, (
        f"{len(taken.lost)} of {len(taken.rows)} streams broke when {taken.names} was taken away:"
        f" {taken.lost[0].error_class}: {taken.lost[0].detail}"
    )
    if not taken.in_hand:
        raise HarnessError(
            f"{taken.names} was to be taken away amid streams, and had {taken.in_hand} in hand"
        )
    check_control(ground, streams, evidence)


def check_control(ground: Ground, streams: RunningLoad, evidence: Evidence) -> None:
    """Negative control: an engine that is killed loses its streams, and we see it."""
    killed_ns = time.time_ns()
    ground.kill_busiest()
    streams.stop()
    lost = [row for row in streams.rows() if row.failed and (row.end_ns or 0) > killed_ns]
    evidence.record("lost_of_kill", len(lost))
    if not lost:
        raise HarnessError("killing an engine broke no stream: none was on it, or none is seen")
