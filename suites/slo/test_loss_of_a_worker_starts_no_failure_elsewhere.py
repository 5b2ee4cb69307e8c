"""The loss of one worker starts no failure in another.

Those that are left inherit the work of the one that is gone. Where they take more than they can
queue, or look after each other's health instead of their own, the second one follows the first,
and an engine's crash becomes an outage.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from fixtures.liveness import Engines, Told
from fixtures.replicas import kill_container, serves_again
from fixtures.stack import Stack
from fixtures.within_engines import ANSWERED
from hotfire import Evidence, Level, TargetProfile, metrics, requirement
from hotfire.cluster import Pod
from hotfire.errors import HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import Awaited, of_target, until

pytestmark = requirement(
    "SLO-007",
    Level.MUST,
    __doc__,
    source="https://sre.google/sre-book/addressing-cascading-failures/",
)

# Where nothing is promised: as long as users are told to wait at most after a fault.
RECOVERY_SECONDS = 120.0
FIRST_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """An engine that nobody touched, before and after another one was lost."""

    before: Told
    after: Told
    serving: bool

    @property
    def failure(self) -> str:
        """What became of it; empty if nothing did."""
        if self.after.ended_since(self.before):
            return "was restarted, or is being"
        return "" if self.serving else "does not serve any more"


def failures(survivors: Mapping[str, Survivor]) -> dict[str, str]:
    """Return the survivors that failed, with what became of each."""
    return {name: why for name, one in survivors.items() if (why := one.failure)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The engines under the rated load, the first of which is lost."""

    engines: Engines
    stack: Stack
    victim: Pod
    others: tuple[Pod, ...]

    def told(self) -> dict[str, Told]:
        return {pod.name: self.engines.told(pod) for pod in self.others}

    def wait_back(self, before: Mapping[str, Told], within_seconds: float) -> Awaited[bool]:
        """Wait until the lost one serves again and nobody waits, or until another one fails."""
        return of_target(
            lambda: (
                bool(failures(self.survivors(before)))
                or (serves_again(self.engines.cluster, self.victim) and not self._waiting())
            ),
            within_seconds=within_seconds,
            what=f"{self.victim.name} serving again, and nobody waiting elsewhere",
            poll_seconds=0.5,
            excused_seconds=self.engines.cluster.silent_seconds,
        )

    def survivors(self, before: Mapping[str, Told]) -> dict[str, Survivor]:
        serving = {pod.uid for pod in self.stack.engines() if pod.serving}
        after = self.told()
        return {
            pod.name: Survivor(
                before=before[pod.name], after=after[pod.name], serving=pod.uid in serving
            )
            for pod in self.others
        }

    def _waiting(self) -> float:
        within, waiting = self.engines.within, self.engines.within.spoken.series("waiting")
        pages = {name: metrics.parse(page.text) for name, page in within.pages().items()}
        told = {name: page.total(waiting.name, **waiting.labels) for name, page in pages.items()}
        if silent := [name for name, count in told.items() if count is None]:
            raise HarnessError(f"{silent[0]} does not tell {waiting}")
        return sum(count or 0.0 for count in told.values())


@pytest.fixture
def loss(engines: Engines, stack: Stack) -> Iterator[Loss]:
    """Two engines at least, all of which answer.

    Raises:
        HarnessError: there are fewer, or one does not.
    """
    victim, *others = engines.within.serving()
    if not others:
        raise HarnessError(f"{victim.name} is the only engine: run two, to see one survive")
    for pod in (victim, *others):
        if (said := engines.within.answer(pod)) != ANSWERED:
            raise HarnessError(f"{pod.name} does not answer before anything is lost: {said}")
    yield Loss(engines=engines, stack=stack, victim=victim, others=tuple(others))
    stack.wait_ready()


def test_others_outlive_the_loss_of_one(
    profile: TargetProfile,
    loss: Loss,
    load: Callable[..., RunningLoad],
    recorded_faults: dict[str, list[str]],
    evidence: Evidence,
) -> None:
    running = load(name="SLO-007")
    until(lambda: len(running.rows()) > FIRST_ROWS, within_seconds=60, what="the load under way")
    before = loss.told()
    kill_container(loss.engines.agent, loss.victim, profile.engine.container)
    back = loss.wait_back(before, profile.budgets.recovery_seconds or RECOVERY_SECONDS)
    running.stop()
    survivors = loss.survivors(before)
    failed = failures(survivors)
    evidence.record("lost", loss.victim.name)
    evidence.record("survivors", [pod.name for pod in loss.others])
    evidence.record("failed_with_it", failed)
    evidence.record("recorded_faults", recorded_faults)

    assert not failed, (
        f"{loss.victim.name} was lost, and {', '.join(f'{n} {why}' for n, why in failed.items())}"
    )
    assert back, str(back)
    for fault, harm in recorded_faults.items():
        assert not harm, f"{fault} of this run hit others than it was aimed at: {harm[0]}"
    # Negative control: the one that was lost is a failure by the same look.
    now = loss.engines.told(loss.victim)
    then = Told(failed=now.failed, kills=now.kills, restarts=loss.victim.restarts)
    if not failures({loss.victim.name: Survivor(before=then, after=now, serving=True)}):
        raise HarnessError(f"{loss.victim.name} was killed, and by the same look nothing was lost")
