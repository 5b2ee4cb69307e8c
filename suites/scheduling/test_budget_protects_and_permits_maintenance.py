"""A PodDisruptionBudget protects each serving workload yet permits maintenance.

A drain asks before it takes a pod, and the budget is what answers. One that selects nothing lets
two nodes be drained at once, and the model is gone; one that allows nothing makes every upgrade
wait until somebody deletes the pods by force.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import pytest

from fixtures.replicas import BUDGET_API, budgets_of, selecting
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from fixtures.survey import Survey
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Pod, selects
from hotfire.errors import HarnessError
from hotfire.waiting import eventually

pytestmark = requirement(
    "SCH-005",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/tasks/run-application/configure-pdb/",
    scope=Scope.CORE,
)

TOO_MANY, NOBODY_TO_ASK = 429, 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look while a replacement starts: who served around it, and what a drain was answered."""

    serving_before: int
    serving_after: int
    answer: int

    def spares_none(self, minimum: int) -> bool:
        """Whether one pod less would have been fewer than promised, before and after the answer."""
        return max(self.serving_before, self.serving_after) <= minimum


@pytest.fixture
def whole(stack: Stack) -> Iterator[None]:
    """Leave the engines as they were: all of them Ready."""
    yield
    stack.wait_ready()


def test_every_engine_is_held_by_one_budget(
    connection: Cluster, stack: Stack, survey: Survey, evidence: Evidence
) -> None:
    there = budgets_of(connection, stack.namespace)
    holders = {
        one.pod.name: [name(each) for each in selecting(there, one.pod)] for one in survey.engines()
    }
    evidence.record("budgets_by_pod", holders)
    if not holders:
        raise HarnessError(f"no engine runs in {stack.namespace}")

    for pod, budgets in holders.items():
        assert budgets, f"no PodDisruptionBudget selects {pod}"
        # Of two the API server obeys neither: it refuses every eviction of such a pod.
        assert len(budgets) == 1, f"{pod} is held by {budgets}, so nothing may ever evict it"


def test_second_eviction_waits_for_the_replacement(
    profile: TargetProfile,
    cluster: Cluster,
    stack: Stack,
    scratch: Scratch,
    whole: None,
    evidence: Evidence,
) -> None:
    evicted_freely(cluster, scratch, evidence)
    there = budgets_of(cluster, stack.namespace)
    budgets = {name(each): each for pod in stack.engines() for each in selecting(there, pod)}
    assert budgets, f"no PodDisruptionBudget selects an engine of {stack.namespace}"
    for budget in budgets.values():
        maintain(profile, cluster, stack, budget, evidence)


def evicted_freely(cluster: Cluster, scratch: Scratch, evidence: Evidence) -> None:
    """Negative control: pods outside the budget go one after the other, so it is no other bar.

    Raises:
        HarnessError: they do not.
    """
    names = ["free-1", "free-2"]
    for each in names:
        scratch.pod(each, argv=["sleep", "600"])
    pods = [scratch.wait_phase(each, "Running") for each in names]
    answers = [cluster.evict(pod) for pod in pods]
    evidence.record("outside_the_budget", [each.status for each in answers])
    refused = [each.message for each in answers if not each.accepted]
    if refused:
        raise HarnessError(f"pods outside the budget are not evicted either: {refused[0]}")


def maintain(
    profile: TargetProfile, cluster: Cluster, stack: Stack, budget: Document, evidence: Evidence
) -> None:
    """Evict what the budget lets go, then ask on, without consequence, until all serve again."""
    called = name(budget)
    minimum, allowed = promised(cluster, budget, profile)
    evidence.record(f"{called}_promises", {"minimum": minimum, "evictable": allowed})
    assert minimum >= 1, f"{called} lets every pod go at once"
    before = serving(stack, budget)
    if len(before) < 2:
        raise HarnessError(f"{called} holds {len(before)} serving pods; run two, to see one go")

    assert allowed >= 1, f"{called} lets no pod go though {len(before)} serve: no node drains"
    answers = [cluster.evict(pod) for pod in before[:allowed]]
    evidence.record(f"{called}_evictions", [asdict(each) for each in answers])
    for each in answers:
        assert each.accepted, f"{called} allows {allowed} evictions and refused one: {each.message}"

    samples: list[Sample] = []
    back = eventually(
        partial(looked_again, cluster, partial(serving, stack, budget), len(before), samples),
        within_seconds=profile.waits.pod_ready_seconds,
    )
    evidence.record(f"{called}_samples", [asdict(each) for each in samples])
    judge(called, samples, minimum)
    if not back and samples[-1].serving_before < len(before):
        raise HarnessError(f"{len(before)} pods of {called} did not serve again in time")
    assert back, f"{called} lets no pod go although all {len(before)} serve again"


def promised(cluster: Cluster, budget: Document, profile: TargetProfile) -> tuple[int, int]:
    """Return how many pods the budget keeps and how many may go, once its controller has counted.

    It is given time to let somebody go; that it never does is for the check to judge.
    """
    counted: dict[str, int] = {}
    namespace = budget["metadata"]["namespace"]

    def lets_go() -> bool:
        found = cluster.get("PodDisruptionBudget", namespace, name(budget), api_version=BUDGET_API)
        counted.update((found or {}).get("status") or {})
        return counted.get("disruptionsAllowed", 0) > 0

    eventually(lets_go, within_seconds=profile.waits.unschedulable_seconds)
    return counted.get("desiredHealthy", 0), counted.get("disruptionsAllowed", 0)


def looked_again(
    cluster: Cluster, serve: Callable[[], Sequence[Pod]], wanted: int, samples: list[Sample]
) -> bool:
    """Ask for one more eviction, as a dry run; return whether maintenance could go on."""
    around = serve()
    answer = cluster.evict(around[-1], dry_run=True).status if around else NOBODY_TO_ASK
    samples.append(Sample(len(around), len(serve()), answer))
    return len(around) >= wanted and answer != TOO_MANY


def judge(called: str, samples: Sequence[Sample], minimum: int) -> None:
    lowest = min(min(each.serving_before, each.serving_after) for each in samples)
    assert lowest >= minimum, f"{called} promises {minimum} serving pods, there were {lowest}"
    tight = [each for each in samples if each.spares_none(minimum)]
    if not tight:
        raise HarnessError(f"the replacement served before the next eviction of {called} was tried")
    let_go = [each for each in tight if each.answer not in (TOO_MANY, NOBODY_TO_ASK)]
    assert not let_go, f"{called} let a pod go with {minimum} serving: {let_go[0]}"


def serving(stack: Stack, budget: Document) -> list[Pod]:
    selector = budget["spec"].get("selector")
    return [pod for pod in stack.engines() if pod.serving and selects(selector, pod.labels)]


def name(budget: Document) -> str:
    return str(budget["metadata"]["name"])
