"""Service after each fault equals service before.

Ready is not as good as before: an engine may come back without its cache, behind a route that has
forgotten it, or not at all where the others are enough to look well. What the faults of the same
run have shown counts here, each by its own verdict on recovery; and one engine is killed under the
rated load, since a run may have no fault. Its p95s may be at most a quarter above those before, by
bounds that resample whole seconds.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import pytest

from fixtures.altered_rows import queued
from fixtures.dialects import Spoken
from fixtures.liveness import Engines
from fixtures.replicas import kill_container
from fixtures.same_service import Compared, compared
from fixtures.stack import Stack
from fixtures.traffic import wait_for_more
from hotfire import Evidence, Level, RunDirectory, TargetProfile, Verdict, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.measure.history import Request
from hotfire.measure.request_times import ttft_seconds
from hotfire.traffic.runner.launch import LoadReport, RunningLoad
from hotfire.waiting import Awaited, of_target

pytestmark = requirement(
    "SLO-006",
    Level.MUST,
    __doc__,
    source="https://sre.google/sre-book/testing-reliability/",
)

SECONDS, FEWEST = 10.0, 110
"""Of each side. A p95 needs a hundred requests."""
FIRST_ROWS = 20
RECOVERY = "recovery_seconds"


def not_as_before(run: RunDirectory) -> dict[str, str]:
    """Return the faults of a run after which users, or the replicas, were not as before."""
    found = {}
    for result in run.results():
        if result.kind != "fault":
            continue
        failed = [b for b in result.budgets if (b.name, b.verdict) == (RECOVERY, Verdict.FAILED)]
        figures = result.figures
        lost = "ready_endpoints_before" in figures and not figures["ready_endpoints_back_seconds"]
        if failed:
            found[result.id] = failed[0].reason
        elif lost and result.verdict is not Verdict.INCONCLUSIVE:
            before = figures["ready_endpoints_before"]
            found[result.id] = f"never again {before} ready endpoints"
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rated load for some seconds, on one side of the loss of an engine."""

    rows: list[Request]
    report: LoadReport

    @classmethod
    def of(cls, running: RunningLoad) -> "Part":
        """Let a load run for long enough, and end it."""
        wait_for_more(running, max(FEWEST, round(SECONDS * running.plan.rate_per_second)))
        report = running.stop()
        return cls(rows=running.rows(), report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Service before and after the loss of one engine."""

    victim: str
    back: Awaited[bool]
    """Whether it serves again, answers included that came to it through the gateway."""
    before: Part
    after: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One engine that is lost and comes back."""

    engines: Engines
    spoken: Spoken
    victim: Pod
    within_seconds: float
    """As long as an engine may load its model; users are served by the others meanwhile."""

    def wait_back(self) -> Awaited[bool]:
        """Wait until it has been started anew, is Ready, and the gateway has sent it somebody."""
        return of_target(
            lambda: self._serves_again() and self._answered() > 0,
            within_seconds=self.within_seconds,
            what=f"{self.victim.name} serving again, and answering whom the gateway sends",
            poll_seconds=0.5,
            excused_seconds=self.engines.cluster.silent_seconds,
        )

    def _serves_again(self) -> bool:
        now = self.engines.cluster.pod(self.victim.namespace, self.victim.name)
        return bool(now and now.serving and now.restarts > self.victim.restarts)

    def _answered(self) -> float:
        series = self.spoken.series("generated_tokens")
        page = self.spoken.read(self.victim.name, self.engines.within.page(self.victim).text)
        return page.total(series.name, **series.labels) or 0.0


@pytest.fixture
def loss(engines: Engines, stack: Stack, spoken: Spoken, profile: TargetProfile) -> Iterator[Loss]:
    """The last engine of at least two.

    Raises:
        HarnessError: there is only one, whose loss leaves nobody to be served.
    """
    *others, victim = engines.within.serving()
    if not others:
        raise HarnessError(f"{victim.name} is the only engine: run two, to see one come back")
    limit = profile.waits.pod_ready_seconds
    yield Loss(engines=engines, spoken=spoken, victim=victim, within_seconds=limit)
    stack.wait_ready()


@pytest.fixture
def sides(
    profile: TargetProfile, loss: Loss, load: Callable[..., RunningLoad], evidence: Evidence
) -> Sides:
    """An engine is lost amid the rated load, and the load before and after it compared.

    Where the engine starts on the machine of the load, that one is not fit to measure meanwhile.
    """
    before = Part.of(load(name="SLO-006-before"))
    amid = load(name="SLO-006-amid")
    wait_for_more(amid, FIRST_ROWS)
    lost = time.monotonic()
    kill_container(loss.engines.agent, loss.victim, profile.engine.container)
    back = loss.wait_back()
    away_seconds = time.monotonic() - lost
    amid.stop()
    after = Part.of(load(name="SLO-006-after"))
    evidence.record("lost", loss.victim.name)
    evidence.record("away_seconds", round(away_seconds, 1))
    evidence.record("requests_failed_meanwhile", sum(row.failed for row in amid.rows()))
    return Sides(victim=loss.victim.name, back=back, before=before, after=after)


def test_service_is_as_before(
    profile: TargetProfile,
    sides: Sides,
    run: RunDirectory,
    recorded_faults: Mapping[str, list[str]],
    evidence: Evidence,
) -> None:
    before = sides.before.rows
    found = compared(before, sides.after.rows, profile.measurement)
    recorded = not_as_before(run)
    evidence.record("came_back", bool(sides.back))
    evidence.record("p95_after_to_before", [asdict(one) for one in found])
    evidence.record("faults_of_this_run", sorted(recorded_faults))
    evidence.record("faults_after_which_it_was_not", recorded)

    assert not recorded, "; ".join(f"after {fault}: {why}" for fault, why in recorded.items())
    assert sides.back, str(sides.back)
    sides.before.report.check()
    sides.after.report.check()
    worse = [one for one in found if one.worse]
    assert not worse, f"after {sides.victim} was lost: {'; '.join(map(str, worse))}"
    open_ = [str(one) for one in found if not one.same]
    if open_ or not found:
        raise HarnessError(f"too noisy to judge: {'; '.join(open_) or 'no p95 is known'}")
    check_control(profile, before, found)


def check_control(
    profile: TargetProfile, before: Sequence[Request], found: Sequence[Compared]
) -> None:
    """Negative control: the same requests, had they waited for much longer, differ."""
    longest = max(ttft_seconds(row) or 0.0 for row in before)
    wait = 2 * (longest + profile.measurement.band_floor_seconds)
    late = [queued(row, wait) for row in before]
    slower = [one.name for one in compared(before, late, profile.measurement) if one.worse]
    if slower != ["ttft"]:
        raise HarnessError(f"late requests differ in {slower} only, of {[o.name for o in found]}")
