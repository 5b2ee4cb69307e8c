"""A rolling update never goes below the declared ready capacity and causes no error.

Models are updated every week, and each update ends every engine. Where too many go at once, those
that are left drown; where one goes before it has finished, its users' answers break off. Both look
like a success to whoever only waits for the new version.
"""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from fixtures.replicas import holding
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Pod, Replicated
from hotfire.errors import HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "LIF-008",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment",
)

RATE_PER_SECOND = 4.0
API = "apps/v1"
# What `kubectl rollout restart` writes, and leaves.
RESTARTED = "kubectl.kubernetes.io/restartedAt"
# The copy that must show a gap.
COPY, COPIES = "recreated", 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What was seen of pods while their workload was updated."""

    before: frozenset[str]
    """Uids of those that served before."""
    least_serving: int
    states: int
    """How often the API server told of a change to one of them."""


def least_serving(before: Mapping[str, bool], states: Iterable[Document]) -> int:
    """Return how few pods served at a time; ``before``: who did by uid, then each state in turn."""
    serving = dict(before)
    least = sum(serving.values())
    for pod in map(Pod.parse, states):
        serving[pod.uid] = pod.serving
        least = min(least, sum(serving.values()))
    return least


@dataclass(frozen=True, slots=True)
class Updater:
    """Updates workloads and follows their pods; between two looks nothing is missed."""

    cluster: Cluster
    profile: TargetProfile

    def update(
        self,
        workload: Replicated,
        labels: Mapping[str, str],
        *,
        within: float,
        restart: Callable[[], object],
    ) -> Update:
        """Restart a workload's pods as its strategy says; return once the former are gone."""
        namespace = workload.namespace
        with self.cluster.following_pods(namespace, labels) as followed:
            pods = [pod for pod in self.cluster.pods(namespace, labels) if not pod.over]
            before = {pod.uid: pod.serving for pod in pods}
            restart()
            of_target(
                lambda: self._replaced(workload, labels, before.keys()),
                within_seconds=within,
                what=f"every pod of {workload} replaced",
                poll_seconds=0.5,
                excused_seconds=self.cluster.silent_seconds,
            ).required()
            states = followed.states()
        uids = frozenset(uid for uid, serves in before.items() if serves)
        return Update(before=uids, least_serving=least_serving(before, states), states=len(states))

    def restart(self, engines: Replicated) -> None:
        """Restart the target's own, as `kubectl rollout restart` does."""
        owner, body = engines.owner, engines.restarted({RESTARTED: stamp()})
        self.cluster.patch(
            owner.kind, self.profile.namespace, owner.name, body, api_version=owner.api_version
        )

    def _replaced(
        self, workload: Replicated, labels: Mapping[str, str], former: Iterable[str]
    ) -> bool:
        """Return whether none of the former is left and as many as wanted serve."""
        pods = self.cluster.pods(workload.namespace, labels)
        serving = [pod for pod in pods if pod.serving]
        left = {pod.uid for pod in pods} & set(former)
        return not left and len(serving) >= workload.replicas


@pytest.fixture
def updater(cluster: Cluster, profile: TargetProfile, stack: Stack) -> Iterator[Updater]:
    yield Updater(cluster, profile)
    stack.wait_ready()


def promised(cluster: Cluster, stack: Stack) -> int:
    """Return how many engines the disruption budgets keep.

    Raises:
        HarnessError: nothing is promised.
    """
    budgets = [budget for pod in stack.engines() for budget in holding(cluster, pod)]
    found = max((one["status"].get("desiredHealthy", 0) for one in budgets), default=0)
    if not found:
        raise HarnessError(
            f"no PodDisruptionBudget says how many engines of {stack.namespace} are to serve at"
            " least; SCH-005 judges that"
        )
    return int(found)


@contextmanager
def loaded(running: RunningLoad) -> Iterator[None]:
    """Begin once requests were answered, and end the load with the block."""
    until(
        lambda: len(running.rows()) >= RATE_PER_SECOND,
        within_seconds=60,
        what="the first requests answered",
    )
    yield
    running.stop()


def test_update_under_load_keeps_the_promised_engines(
    stack: Stack,
    scratch: Scratch,
    updater: Updater,
    load: Callable[..., RunningLoad],
    evidence: Evidence,
) -> None:
    profile = updater.profile
    minimum, workload = promised(updater.cluster, stack), stack.replicated()
    replicas = workload.replicas
    if replicas <= minimum and replicas < 2:
        raise HarnessError(f"{replicas} replica: run two, to see one go")
    grace = workload.pod_spec.get("terminationGracePeriodSeconds") or 30
    within = replicas * (profile.waits.pod_ready_seconds + float(grace))
    running = load(name="LIF-008", rate_per_second=RATE_PER_SECOND)
    with loaded(running):
        labels, restart = profile.engine.selector, partial(updater.restart, workload)
        seen = updater.update(workload, labels, within=within, restart=restart)
    lost = [row for row in running.rows() if row.failed]
    evidence.record("promised", minimum)
    evidence.record("served_before", len(seen.before))
    evidence.record("least_serving", seen.least_serving)
    evidence.record("states_told", seen.states)
    evidence.record("requests", len(running.rows()))
    evidence.record("requests_lost", len(lost))

    assert seen.least_serving >= minimum, (
        f"{seen.least_serving} of {len(seen.before)} engines served at a moment of the update,"
        f" {minimum} are promised; lower maxUnavailable"
    )
    assert not lost, (
        f"{len(lost)} of {len(running.rows())} requests failed during the update:"
        f" {lost[0].error_class}: {lost[0].detail}"
    )
    check_control(updater, scratch, evidence)


def check_control(updater: Updater, scratch: Scratch, evidence: Evidence) -> None:
    """Negative control: a copy that is recreated has a gap, and we see it."""
    copy = Replicated.of(recreated(updater.profile, scratch.namespace))
    updater.cluster.apply([copy.document])
    until(
        lambda: (
            sum(pod.serving for pod in updater.cluster.pods(scratch.namespace, {"app": COPY}))
            == COPIES
        ),
        within_seconds=updater.profile.waits.agent_seconds,
        what=f"{COPIES} pods of {COPY}",
        excused_seconds=updater.cluster.silent_seconds,
    )
    again = recreated(updater.profile, scratch.namespace, {RESTARTED: stamp()})
    seen = updater.update(
        copy,
        {"app": COPY},
        within=updater.profile.waits.agent_seconds,
        restart=lambda: updater.cluster.apply([again]),
    )
    evidence.record("least_serving_of_a_recreated_copy", seen.least_serving)
    if seen.least_serving:
        raise HarnessError(f"{seen.least_serving} pods of a recreated copy served all the time")


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def recreated(
    profile: TargetProfile, namespace: str, annotations: Mapping[str, str] | None = None
) -> Document:
    """Return a Deployment that ends all of its pods before it makes others."""
    container = {
        "name": "probe",
        "image": profile.images.python,
        "command": ["sleep", "600"],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}},
    }
    pod = {
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "tolerations": [{"key": profile.accelerator.taint_key, "operator": "Exists"}],
    }
    labels = {"app": COPY}
    spec = {
        "replicas": COPIES,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels, "annotations": dict(annotations or {})},
            "spec": pod,
        },
    }
    metadata = {"name": COPY, "namespace": namespace}
    return {"apiVersion": API, "kind": "Deployment", "metadata": metadata, "spec": spec}
