"""A pod is Ready only when its model answers.

Kubernetes sends users to whatever says Ready. An engine needs tens of seconds, with large weights
minutes, between an open port and its first token; a readiness probe that looks at the port sends
requests into that gap.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import pytest

from fixtures.beside import ON_TIME_SECONDS, Look, late_during
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

# One request for one token, straight at the pod: the Service would pick somebody else. Until its
# answer is there an engine that nobody touches is asked again and again: whenever the machine
# stands still, one of those answers is late as well.
ASK = """
import http.client, json, sys, threading, time
model, address, untouched = sys.argv[1:]
body = json.dumps({"model": model, "prompt": "x", "max_tokens": 1}).encode()
def ask(address):
    try:
        pod = http.client.HTTPConnection(address, timeout=5)
        pod.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        reply = pod.getresponse()
        whole = reply.status == 200 and json.loads(reply.read(1 << 20))["choices"]
        return "answered" if whole else f"HTTP {reply.status}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
answers, control, slowest = [], "answered", 0.0
asked = threading.Thread(target=lambda: answers.append(ask(address)))
last = time.monotonic()
asked.start()
over = False
while not over:
    over = not asked.is_alive()
    said = ask(untouched)
    control = control if said == "answered" else said
    slowest, last = max(slowest, time.monotonic() - last), time.monotonic()
    time.sleep(0.02)
print(json.dumps({"answer": answers[0], "control": control, "control_seconds": slowest}))
"""
ANSWERED = "answered"
SAMPLES_AFTER_READY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at the starting pod: what it claimed before and after, and whether it answered."""

    ready_before: bool
    ready_after: bool
    answer: str
    control: Look
    """An engine that nobody touches, asked in the same time."""

    @property
    def claimed(self) -> bool:
        """Whether it was Ready all the time, on a machine that did not stand still."""
        return self.ready_before and self.ready_after and self.control.on_time


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
def untouched(stack: Stack, profile: TargetProfile) -> str:
    """The address of an engine that served before anything began."""
    found = [pod for pod in stack.engines() if pod.serving]
    if not found:
        raise HarnessError(f"no engine of {stack.namespace} serves")
    return f"{found[0].ip}:{profile.engine.port}"


@pytest.fixture
def one_more(
    untouched: str, stack: Stack, cluster: Cluster, engine_states: Followed
) -> Iterator[Newcomer]:
    """Add a replica; yield the new pod; take the replica away again."""
    del untouched  # Found before there is a newcomer.
    with one_more_replica(stack, cluster) as new:
        yield Newcomer(new.required()[0].name, engine_states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A probe pod that asks a newcomer, and an engine that nobody touches."""

    cluster: Cluster
    profile: TargetProfile
    scratch: Scratch
    untouched: str

    def sample(self, name: str) -> Sample:
        """Return one look at the newcomer of this name."""
        began_ns, before = time.time_ns(), self._pod(name)
        address = f"{before.ip}:{self.profile.engine.port}"
        argv = ["python3", "-c", ASK, self.profile.engine.model, address, self.untouched]
        done = self.cluster.exec(
            self.scratch.namespace, "asker", container="probe", argv=argv, repeatable=True
        )
        said, after = json.loads(done.stdout), self._pod(name)
        on_time = said["control"] == ANSWERED and said["control_seconds"] <= ON_TIME_SECONDS
        return Sample(
            ready_before=before.ready,
            ready_after=after.ready,
            answer=said["answer"],
            control=Look(began_ns, time.time_ns(), on_time),
        )

    def _pod(self, name: str) -> Pod:
        found = self.cluster.pod(self.profile.namespace, name)
        if found is None:
            raise HarnessError(f"{name} vanished while it started")
        return found


@pytest.fixture
def asker(cluster: Cluster, profile: TargetProfile, scratch: Scratch, untouched: str) -> Asker:
    scratch.pod("asker", argv=["sleep", "3600"])
    scratch.wait_phase("asker", "Running")
    return Asker(cluster=cluster, profile=profile, scratch=scratch, untouched=untouched)


def test_every_ready_sample_answers(
    profile: TargetProfile,
    cluster: Cluster,
    asker: Asker,
    load: Callable[..., RunningLoad],
    one_more: Newcomer,
    evidence: Evidence,
) -> None:
    running = load(name="LIF-002", rate_per_second=2.0)
    samples: list[Sample] = []

    def seen_enough() -> bool:
        samples.append(asker.sample(one_more.name))
        return sum(each.claimed for each in samples) >= SAMPLES_AFTER_READY

    got_ready = of_target(
        seen_enough,
        within_seconds=profile.waits.pod_ready_seconds,
        what=f"{one_more.name} Ready for {SAMPLES_AFTER_READY} samples",
        excused_seconds=cluster.silent_seconds,
    )
    running.stop()
    unready_states = one_more.unready_states()
    looks = [each.control for each in samples]
    lost = [row for row in running.rows() if row.failed]
    excused = [row for row in lost if late_during(looks, row.sched_ns, row.end_ns or row.sched_ns)]
    charged = [row for row in lost if row not in excused]
    lies = [each for each in samples if each.claimed and each.answer != ANSWERED]
    evidence.record("samples", [asdict(each) for each in samples])
    evidence.record("ready_without_answer", len(lies))
    evidence.record("control_late", sum(not each.on_time for each in looks))
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
