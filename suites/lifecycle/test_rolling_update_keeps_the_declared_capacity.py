"""A rolling update never goes below the declared ready capacity and causes no error.

Engines are updated every week, in the middle of the day. A new one needs minutes until it serves;
whoever lets the old ones go before that, or lets them go in mid-answer, has an outage with each
release.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document
from hotfire.errors import HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "LIF-008",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment",
)

API = "apps/v1"
MARK = "hotfire.dev/rolled-out"
AT_ONCE = "at-once"
# A Service has somebody behind it as soon as this listens.
SERVER = ["python3", "-m", "http.server", "8080"]
POLL_SECONDS = 0.1


@dataclass(slots=True, kw_only=True)
class RollOut:
    """One Deployment whose template changes, and how many serve meanwhile."""

    cluster: Cluster
    namespace: str
    name: str
    selector: Mapping[str, str]
    ready: list[int] = field(default_factory=list)
    """Ready endpoints at each look."""

    def document(self) -> Document:
        found = self.cluster.get("Deployment", self.namespace, self.name, api_version=API)
        if found is None:
            raise HarnessError(f"Deployment {self.namespace}/{self.name} vanished")
        return found

    def mark(self, value: str | None) -> None:
        """Change the template's annotations, which is a new version of every pod."""
        template = {"metadata": {"annotations": {MARK: value}}}
        body = {"spec": {"template": template}}
        self.cluster.patch("Deployment", self.namespace, self.name, body, api_version=API)

    def looked(self) -> bool:
        """Count who is ready behind a Service; return whether the roll-out is over."""
        mine = {pod.uid for pod in self.cluster.pods(self.namespace, self.selector)}
        endpoints = self.cluster.endpoints(self.namespace)
        self.ready.append(len({each.pod_uid for each in endpoints if each.ready} & mine))
        return self.over()

    def over(self) -> bool:
        document = self.document()
        status, wanted = document.get("status") or {}, document["spec"]["replicas"]
        seen = status.get("observedGeneration", 0) >= document["metadata"]["generation"]
        counts = [status.get(one, 0) for one in ("replicas", "updatedReplicas", "readyReplicas")]
        return bool(seen and counts == [wanted] * 3)


def promised(spec: Document) -> int:
    """Return how many a Deployment keeps ready; one, where it would let all of them go."""
    replicas, strategy = int(spec["replicas"]), spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 1
    allowed = str((strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%"))
    share = int(allowed.removesuffix("%"))
    # Rounded down, as the controller does.
    return max(1, replicas - (share * replicas // 100 if allowed.endswith("%") else share))


@pytest.fixture
def engines(cluster: Cluster, stack: Stack, profile: TargetProfile) -> Iterator[RollOut]:
    """The engines' Deployment; its template is as found after the case."""
    name, selector = stack.engine_workload()["metadata"]["name"], profile.engine.selector
    found = RollOut(cluster=cluster, namespace=stack.namespace, name=name, selector=selector)
    yield found
    found.mark(None)
    stack.wait_ready()


def test_update_under_load_loses_neither_capacity_nor_requests(
    profile: TargetProfile, load: Callable[..., RunningLoad], engines: RollOut, evidence: Evidence
) -> None:
    spec = engines.document()["spec"]
    minimum, replicas = promised(spec), spec["replicas"]
    running = load(name="LIF-008")
    engines.mark(uuid.uuid4().hex)
    over = of_target(
        engines.looked,
        within_seconds=profile.waits.pod_ready_seconds * replicas,
        what="the roll-out over",
        poll_seconds=POLL_SECONDS,
        excused_seconds=engines.cluster.silent_seconds,
    )
    running.stop()
    rows = running.rows()
    lost = [row for row in rows if row.failed]
    evidence.record("promised", minimum)
    evidence.record("lowest", min(engines.ready))
    evidence.record("looks", len(engines.ready))
    evidence.record("requests", len(rows))
    evidence.record("lost", len(lost))

    assert over, str(over)
    assert min(engines.ready) >= minimum, (
        f"{min(engines.ready)} of {replicas} engines were ready during a roll-out, {minimum} are"
        " declared; see the Deployment's strategy"
    )
    assert not lost, (
        f"{len(lost)} of {len(rows)} requests failed during a roll-out: {lost[0].error_class}:"
        f" {lost[0].detail}"
    )
    if not rows:
        raise HarnessError("no request was sent during the roll-out")


def test_update_all_at_once_shows_a_gap(
    profile: TargetProfile, cluster: Cluster, scratch: Scratch, evidence: Evidence
) -> None:
    """Negative control: the same looks at a Deployment that lets all its pods go see it."""
    cluster.apply(at_once(profile), namespace=scratch.namespace)
    selector = {"app": AT_ONCE}
    copy = RollOut(cluster=cluster, namespace=scratch.namespace, name=AT_ONCE, selector=selector)
    within = profile.waits.unschedulable_seconds + 40
    until(
        lambda: copy.looked() and copy.ready[-1] > 0,
        within_seconds=within,
        what="a Deployment of ours ready",
    )
    copy.ready.clear()
    copy.mark(uuid.uuid4().hex)
    until(
        lambda: not copy.looked() and copy.ready[-1] == 0,
        within_seconds=within,
        what="a gap in a roll-out that recreates every pod",
        poll_seconds=POLL_SECONDS,
    )
    evidence.record("lowest", min(copy.ready))
    evidence.record("looks", len(copy.ready))


def at_once(profile: TargetProfile) -> list[Document]:
    """Return a Deployment that recreates its pods, and its Service."""
    labels = {"app": AT_ONCE}
    container: Document = {
        "name": "probe",
        "image": profile.images.python,
        "command": SERVER,
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    tolerated = [{"key": profile.accelerator.taint_key, "operator": "Exists"}]
    pod = {"containers": [container], "tolerations": tolerated, "terminationGracePeriodSeconds": 0}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "Recreate"},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    metadata = {"name": AT_ONCE}
    service = {"selector": labels, "ports": ports}
    return [
        {"apiVersion": API, "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]
