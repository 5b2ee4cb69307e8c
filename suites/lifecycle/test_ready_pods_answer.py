"""A pod is Ready only when its model answers.

Kubernetes sends users to whatever says Ready. An engine needs tens of seconds, with large weights
minutes, between an open port and its first token; a readiness probe that looks at the port sends
requests into that gap.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import pytest

from fixtures.beside import Control, Look, late_during
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
ANSWERED = "answered"
SAMPLES_AFTER_READY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the starting pod: what it claimed before and after, and whether it answered."""

    began_ns: int
    ended_ns: int
    ready_before: bool
    ready_after: bool
    answer: str

    def claimed(self, looks: Sequence[Look]) -> bool:
        """Return whether it was Ready all the time, on a machine that did not stand still."""
        late = late_during(looks, self.began_ns, self.ended_ns)
        return self.ready_before and self.ready_after and not late


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
def control(stack: Stack, scratch: Scratch, profile: TargetProfile) -> Control:
    """What asks an engine that served before anything began."""
    found = [pod for pod in stack.engines() if pod.serving]
    if not found:
        raise HarnessError(f"no engine of {stack.namespace} serves")
    return Control.start(scratch, f"{found[0].ip}:{profile.engine.port}", profile.engine.model)


@pytest.fixture
def one_more(
    control: Control, stack: Stack, cluster: Cluster, changes: Changes, engine_states: Followed
) -> Iterator[Newcomer]:
    """Add a replica; yield the new pod; take the replica away again."""
    del control  # Its engine was found before there was a newcomer.
    with one_more_replica(stack, cluster, changes) as new:
        yield Newcomer(new.required()[0].name, engine_states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A probe pod that asks a newcomer."""

    cluster: Cluster
    profile: TargetProfile
    scratch: Scratch

    def sample(self, name: str) -> Sample:
        """Return one look at the newcomer of this name."""
        began_ns, before = time.time_ns(), self._pod(name)
        engine = self.profile.engine
        argv = ["python3", "-c", ASK, f"{before.ip}:{engine.port}", engine.model]
        done = self.cluster.exec(
            self.scratch.namespace, "asker", container="probe", argv=argv, repeatable=True
        )
        after = self._pod(name)
        return Sample(
            began_ns=began_ns,
            ended_ns=time.time_ns(),
            ready_before=before.ready,
            ready_after=after.ready,
            answer=done.stdout.strip(),
        )

    def _pod(self, name: str) -> Pod:
        found = self.cluster.pod(self.profile.namespace, name)
        if found is None:
            raise HarnessError(f"{name} vanished while it started")
        return found


@pytest.fixture
def asker(cluster: Cluster, profile: TargetProfile, scratch: Scratch) -> Asker:
    scratch.pod("asker", argv=["sleep", "3600"])
    scratch.wait_phase("asker", "Running")
    return Asker(cluster=cluster, profile=profile, scratch=scratch)


def test_every_ready_sample_answers(
    asker: Asker,
    control: Control,
    load: Callable[..., RunningLoad],
    one_more: Newcomer,
    evidence: Evidence,
) -> None:
    running = load(name="LIF-002", rate_per_second=2.0)
    samples: list[Sample] = []

    def seen_enough() -> bool:
        samples.append(asker.sample(one_more.name))
        looks = control.looks()
        return sum(each.claimed(looks) for each in samples) >= SAMPLES_AFTER_READY

    got_ready = of_target(
        seen_enough,
        within_seconds=asker.profile.waits.pod_ready_seconds,
        what=f"{one_more.name} Ready for {SAMPLES_AFTER_READY} samples",
        excused_seconds=asker.cluster.silent_seconds,
    )
    running.stop()
    unready_states = one_more.unready_states()
    looks, lost = control.looks(), [row for row in running.rows() if row.failed]
    excused = [row for row in lost if late_during(looks, row.sched_ns, row.end_ns or row.sched_ns)]
    charged = [row for row in lost if row not in excused]
    lies = [each for each in samples if each.claimed(looks) and each.answer != ANSWERED]
    evidence.record("samples", [asdict(each) for each in samples])
    evidence.record("ready_without_answer", len(lies))
    evidence.record("control_late", [asdict(each) for each in looks if not each.on_time])
    evidence.record("not_ready", sum(not each.ready_before for each in samples))
    evidence.record("not_ready_states", unready_states)
    evidence.record("requests_lost_meanwhile", len(charged))
    evidence.record("requests_lost_with_the_control_late", len(excused))

    assert not lies, f"Ready, yet {lies[0].answer}; {len(lies)} such samples"
    assert not charged, (
        f"{len(charged)} requests failed while a replica was added: {charged[0].error_class}"
    )
    stood_still = not got_ready and any(each.ready_before for each in samples)
    if excused or stood_still:
        raise HarnessError(
            "an engine that nobody touched was late as well, so the machine stood still:"
            f" {len(excused)} requests lost meanwhile; try again on a quieter one"
        )
    assert got_ready, str(got_ready)
    # Negative control: a check that was never told of the pod unready has watched nothing.
    if not unready_states:
        raise HarnessError("nobody told of the pod before it was Ready; its start was not observed")
