"""A pod is Ready only when its model answers.

Kubernetes sends users to whatever says Ready. An engine needs tens of seconds, with large weights
minutes, between an open port and its first token; a readiness probe that looks at the port sends
requests into that gap.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import pytest

from fixtures.changes import Changes
from fixtures.replicas import one_more_replica
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Followed, Pod
from hotfire.errors import HarnessError
from hotfire.traffic.runner.launch import RunningLoad
from hotfire.waiting import of_target

pytestmark = requirement(
    "LIF-002",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/",
    scope=Scope.CORE,
)

# One request for one token, straight at the pod: the Service would pick somebody else.
ASK = """
import http.client, json, sys
address, model = sys.argv[1:]
body = json.dumps({"model": model, "prompt": "x", "max_tokens": 1}).encode()
try:
    pod = http.client.HTTPConnection(address, timeout=5)
    pod.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    reply = pod.getresponse()
    if reply.status == 200:
        print("answered" if json.loads(reply.read(1 << 20))["choices"] else "no choices")
    else:
        print(f"HTTP {reply.status}")
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""
SAMPLES_AFTER_READY = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the starting pod: what it claimed before and after, and whether it answered."""

    ready_before: bool
    ready_after: bool
    answer: str

    @property
    def claimed(self) -> bool:
        return self.ready_before and self.ready_after


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The pod of an additional replica, followed since before it was asked for."""

    name: str
    followed: Followed

    def unready_states(self) -> int:
        """Return how often it was told of as not Ready; a start may be over between two looks."""
        return sum(not Pod.parse(state).ready for state in self.followed.states(self.name))


@pytest.fixture
def engine_states(cluster: Cluster, profile: TargetProfile, stack: Stack) -> Iterator[Followed]:
    with cluster.following_pods(profile.namespace, profile.engine.selector) as followed:
        yield followed


@pytest.fixture
def one_more(
    stack: Stack, cluster: Cluster, changes: Changes, engine_states: Followed
) -> Iterator[Newcomer]:
    """Add a replica; yield the new pod; take the replica away again."""
    with one_more_replica(stack, cluster, changes) as new:
        yield Newcomer(new.required()[0].name, engine_states)


def test_every_ready_sample_answers(
    profile: TargetProfile,
    cluster: Cluster,
    scratch: Scratch,
    load: Callable[..., RunningLoad],
    one_more: Newcomer,
    evidence: Evidence,
) -> None:
    running = load(name="LIF-002", rate_per_second=2.0)
    scratch.pod("asker", argv=["sleep", "3600"])
    scratch.wait_phase("asker", "Running")

    def sample() -> Sample:
        before = cluster.pod(profile.namespace, one_more.name)
        if before is None:
            raise HarnessError(f"{one_more.name} vanished while it started")
        argv = ["python3", "-c", ASK, f"{before.ip}:{profile.engine.port}", profile.engine.model]
        done = cluster.exec(
            scratch.namespace, "asker", container="probe", argv=argv, repeatable=True
        )
        after = cluster.pod(profile.namespace, one_more.name)
        return Sample(before.ready, bool(after and after.ready), done.stdout.strip())

    samples: list[Sample] = []

    def seen_enough() -> bool:
        samples.append(sample())
        return sum(each.claimed for each in samples) >= SAMPLES_AFTER_READY

    got_ready = of_target(
        seen_enough,
        within_seconds=profile.waits.pod_ready_seconds,
        what=f"{one_more.name} Ready for {SAMPLES_AFTER_READY} samples",
        excused_seconds=cluster.silent_seconds,
    )
    running.stop()
    unready_states = one_more.unready_states()
    lost = [row for row in running.rows() if row.failed]
    lies = [each for each in samples if each.claimed and each.answer != "answered"]
    evidence.record("samples", [asdict(each) for each in samples])
    evidence.record("ready_without_answer", len(lies))
    evidence.record("not_ready", sum(not each.ready_before for each in samples))
    evidence.record("not_ready_states", unready_states)
    evidence.record("requests_lost_meanwhile", len(lost))

    assert got_ready, str(got_ready)
    assert not lies, f"Ready, yet {lies[0].answer}; {len(lies)} such samples"
    assert not lost, f"{len(lost)} requests failed while a replica was added: {lost[0].error_class}"
    # Negative control: a check that was never told of the pod unready has watched nothing.
    if not unready_states:
        raise HarnessError("nobody told of the pod before it was Ready; its start was not observed")
