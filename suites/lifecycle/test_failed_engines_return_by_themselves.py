"""A failed engine returns by itself, and under its own name where it has one.

Engines die: of a driver error, of memory, with their node. What brings them back must be a
controller, not somebody who is woken: a pod without one never comes back, and an engine that trips
over what its predecessor left behind comes back to die again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from fixtures.replicas import kill_container, start_seconds
from fixtures.scratch import Scratch
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.chaos.agent_client import AgentClient
from hotfire.cluster import Cluster, Document, Pod
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "LIF-007",
    Level.MUST,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts",
)

# On top of a load of the model: to be noticed, scheduled, given its volumes and found ready.
MARGIN_SECONDS = 30.0
BARE = "bare"
# Whose pods have names of their own, which return with them.
NAMES_ITS_PODS = "StatefulSet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The engines of one controller."""

    kind: str
    uid: str
    size: int
    load_seconds: float
    """The longest that one of them took from its container's start to Ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where engines are killed, and what is seen of it."""

    cluster: Cluster
    stack: Stack
    agent: AgentClient
    container: str

    def documents(self) -> dict[str, Document]:
        """Return the engines that serve, by name."""
        pods = (pod for pod in self.stack.engines() if pod.serving)
        found = {pod.name: self.cluster.get("Pod", pod.namespace, pod.name) for pod in pods}
        return {name: document for name, document in found.items() if document}

    def serving(self, fleet: Fleet) -> list[Pod]:
        """Return the engines of one controller that serve."""
        found = map(Pod.parse, with_controller(fleet.uid, self.documents()))
        return [pod for pod in found if pod.serving]

    def ran(self, pod: Pod) -> str:
        """Return the id of a pod's engine container."""
        found = pod.container(self.container)
        return found.container_id if found else ""

    def kill_container(self, pod: Pod) -> None:
        kill_container(self.agent, pod, self.container)

    def delete(self, pod: Pod) -> None:
        self.cluster.delete("Pod", pod.namespace, pod.name, uid=pod.uid, grace_seconds=1)

    def seconds_until_back(self, fleet: Fleet, former: str, limit: float) -> float | None:
        """Return how long it took until all serve and none in the former container; None: more."""
        began = time.monotonic()

        def back() -> bool:
            now = self.serving(fleet)
            return len(now) >= fleet.size and former not in map(self.ran, now)

        found = of_target(
            back,
            within_seconds=limit,
            what=f"{fleet.size} engines of the {fleet.kind} serving",
            excused_seconds=self.cluster.silent_seconds,
        )
        return round(time.monotonic() - began, 1) if found else None

    def plight(self, pod: Pod) -> str:
        """Return what became of a pod, in words."""
        now = self.cluster.pod(pod.namespace, pod.name)
        if now is None:
            return "gone"
        reasons = [each.waiting_reason for each in now.containers if each.waiting_reason]
        return ", ".join([now.phase, *reasons, f"restarted {now.restarts} times"])


def controller(document: Document) -> Document | None:
    """Return who makes a pod again when it is gone; None: nobody."""
    owners = document["metadata"].get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller")), None)


def with_controller(uid: str, documents: Mapping[str, Document]) -> list[Document]:
    return [each for each in documents.values() if (controller(each) or {}).get("uid") == uid]


def fleets(documents: Mapping[str, Document], container: str) -> Iterator[Fleet]:
    owners = {owner["uid"]: owner for each in documents.values() if (owner := controller(each))}
    for uid, owner in owners.items():
        members = with_controller(uid, documents)
        loads = [start_seconds(each, container) for each in members]
        yield Fleet(kind=owner["kind"], uid=uid, size=len(members), load_seconds=max(loads))


@pytest.fixture
def ground(
    profile: TargetProfile, cluster: Cluster, stack: Stack, agent: AgentClient
) -> Iterator[Ground]:
    """The engines, which are all Ready again afterwards."""
    yield Ground(cluster=cluster, stack=stack, agent=agent, container=profile.engine.container)
    stack.wait_ready()


def test_engine_is_back_after_its_container_and_after_its_pod_were_killed(
    ground: Ground, scratch: Scratch, evidence: Evidence
) -> None:
    documents = ground.documents()
    orphans = [name for name, document in documents.items() if controller(document) is None]
    evidence.record("engines", sorted(documents))
    evidence.record("without_controller", orphans)
    if not documents:
        raise HarnessError("no engine is Ready, so none can fail and return")
    # Not killed to see it: what nobody makes again would be gone for good.
    assert not orphans, f"no controller owns {', '.join(orphans)}: nothing would make it again"

    scratch.pod(BARE, argv=["sleep", "600"])
    bare = scratch.wait_phase(BARE, "Running")
    ground.delete(bare)
    of_containers, of_pods = [], []
    for fleet in fleets(documents, ground.container):
        of_containers.append(killed(fleet, "container", ground.kill_container, ground, evidence))
        of_pods.append(killed(fleet, "pod", ground.delete, ground, evidence))
    evidence.record("back_after_container_killed_seconds", max(of_containers))
    evidence.record("back_after_pod_killed_seconds", max(of_pods))
    # Negative control: what has no controller is gone after all that time.
    if ground.plight(bare) != "gone":
        raise HarnessError("a pod that no controller owns was deleted and is there again")


def killed(
    fleet: Fleet, what: str, kill: Callable[[Pod], None], ground: Ground, evidence: Evidence
) -> float:
    """Kill what is named of the last engine of a controller; return how long it was away."""
    limit = fleet.load_seconds + MARGIN_SECONDS
    victim = ground.serving(fleet)[-1]
    kill(victim)
    seconds = ground.seconds_until_back(fleet, ground.ran(victim), limit)
    told = {"of": victim.name, "back_after_seconds": seconds, "limit_seconds": limit}
    evidence.record(f"{what}_killed_of_{fleet.kind}_{fleet.uid[:8]}", told)

    serve = [pod.name for pod in ground.serving(fleet)]
    assert seconds is not None, (
        f"{limit:g} s after the {what} of {victim.name} was killed {len(serve)} of {fleet.size}"
        f" engines serve; it is {ground.plight(victim)}"
    )
    assert fleet.kind != NAMES_ITS_PODS or victim.name in serve, (
        f"{victim.name} came back under another name, one of {', '.join(serve)}"
    )
    return seconds
