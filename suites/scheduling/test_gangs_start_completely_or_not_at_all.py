"""A gang starts completely or not at all.

Half of a tensor-parallel group computes nothing and holds its GPUs all the same; two halves wait
for each other for ever. What is bound has to be enough to begin with. Kubernetes' own gangs are
tried, and Jobs in queues of Kueue, which admits them whole by its quota: whichever is there, both
where both are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from fixtures.accelerators import Accelerators
from fixtures.queues import STARTED_SECONDS, Queues
from fixtures.scratch import Decision, Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.cluster.gangs import GANG_KINDS, NATIVE
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "SCH-008",
    Level.MUST,
    __doc__,
    source="https://github.com/cncf/k8s-ai-conformance/blob/main/docs/AIConformance-1.37.yaml",
    cncf="schedulingOrchestration.gang_scheduling",
    features={"gang-scheduling"},
)

WORK, STAY = ["sleep", "1"], ["sleep", "600"]
AT_MOST_NODES = 2
# How long nobody may be bound once the scheduler has refused every member, or the queue the Job.
HELD_SECONDS = 3.0
QUEUE = "gangs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Some nodes, and how many accelerators of theirs nobody holds."""

    nodes: tuple[str, ...]
    size: int

    def rules(self) -> dict[str, Any]:
        """Return the rules of a pod that may use these nodes only."""
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": list(self.nodes)}
        term = {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        return {"affinity": {"nodeAffinity": {required: term}}}


@pytest.fixture
def room(profile: TargetProfile, cluster: Cluster, accelerators: Accelerators) -> Room:
    """Room for a gang of two or more."""
    resource = profile.accelerator.resource
    free = {
        node.name: accelerators.free(node)
        for node in cluster.nodes(profile.accelerator.node_selector)
        if node.ready and not node.unschedulable and int(node.allocatable.get(resource, "0"))
    }
    nodes = sorted((name for name in free if free[name]), key=lambda name: -free[name])
    chosen = tuple(nodes[:AT_MOST_NODES])
    size = sum(free[name] for name in chosen)
    if size < 2:
        raise HarnessError(f"a gang needs two free {resource}, there are {free}; free some")
    return Room(nodes=chosen, size=size)


def version(cluster: Cluster) -> str | None:
    """Return the version of Kubernetes' own PodGroup that is served; None: none that we can drive.

    Raises:
        HarnessError: nothing else is there, either, of which we know how it is asked for a gang.
    """
    if not any(cluster.serves(*one) for one in GANG_KINDS):
        known = " or ".join(f"{kind} of {api}" for kind, api in GANG_KINDS)
        raise HarnessError(
            f"gangs are claimed, and this cluster serves no {known}; those of other schedulers are"
            " not known here"
        )
    return next((one for one in NATIVE if cluster.serves("PodGroup", one)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gangs:
    """Kubernetes' own."""

    cluster: Cluster
    scratch: Scratch
    room: Room
    version: str

    def start(self, name: str, argv: list[str]) -> list[str]:
        """Create a gang that has to start whole, with one GPU for each member."""
        group = {
            "apiVersion": self.version,
            "kind": "PodGroup",
            "metadata": {"name": name},
            "spec": {"schedulingPolicy": {"gang": {"minCount": self.room.size}}},
        }
        self.cluster.apply([group], namespace=self.scratch.namespace)
        member = {"schedulingGroup": {"podGroupName": name}}
        return start(self.scratch, self.room, name, argv, member)


@pytest.fixture
def gangs(cluster: Cluster, scratch: Scratch, room: Room, evidence: Evidence) -> Gangs | None:
    """Kubernetes' own gangs; None: those that are here are Kueue's."""
    found = version(cluster)
    evidence.record("pod_groups", found or "not served")
    if found is None:
        return None
    return Gangs(cluster=cluster, scratch=scratch, room=room, version=found)


def start(
    scratch: Scratch, room: Room, name: str, argv: list[str], besides: dict[str, Any]
) -> list[str]:
    names = [f"{name}-{number}" for number in range(room.size)]
    for each in names:
        scratch.pod(each, argv=argv, gpus=1, spec_besides={**room.rules(), **besides})
    return names


def bound(scratch: Scratch, names: Sequence[str]) -> list[str]:
    return [name for name in names if scratch.get(name).node]


def test_gang_that_fits_runs_whole(
    gangs: Gangs | None, scratch: Scratch, room: Room, evidence: Evidence
) -> None:
    if gangs is None:
        return
    names = gangs.start("fits", WORK)
    ended = {name: scratch.wait_phase(name, "Succeeded", "Failed").phase for name in names}
    evidence.record("room", asdict(room))
    evidence.record("ended", ended)

    assert set(ended.values()) == {"Succeeded"}, f"a gang of {room.size} that fits: {ended}"


def check_control(scratch: Scratch, room: Room) -> None:
    """Negative control: beside a blocker, the same pods without a group take what there is."""
    scratch.pod("blocker", argv=STAY, gpus=1, spec_besides=room.rules())
    alone = start(scratch, room, "alone", STAY, {})
    without = [one for name, one in scratch.decisions().items() if name in alone and one.node]
    if len(without) != room.size - 1:
        raise HarnessError(f"{room.size - 1} of {room.size} single pods fit, {len(without)} bound")
    scratch.clear()


def test_gang_short_of_one_gpu_binds_no_member_until_it_is_freed(
    profile: TargetProfile,
    accelerators: Accelerators,
    scratch: Scratch,
    room: Room,
    gangs: Gangs | None,
    evidence: Evidence,
) -> None:
    if gangs is None:
        return
    cluster = gangs.cluster
    check_control(scratch, room)
    scratch.pod("blocker", argv=STAY, gpus=1, spec_besides=room.rules())
    scratch.wait_phase("blocker", "Running")
    names = gangs.start("short", STAY)
    decisions = {name: one for name, one in scratch.decisions().items() if name in names}
    evidence.record("room", asdict(room))
    evidence.record("decisions", {name: asdict(one) for name, one in decisions.items()})
    assert not in_part(decisions), f"one GPU short, and of {room.size} {in_part(decisions)} started"
    early = of_target(
        lambda: bound(scratch, names), within_seconds=HELD_SECONDS, what="a member that is bound"
    )
    assert not early, f"one GPU short, and {early.seen} started"

    cluster.delete("Pod", scratch.namespace, "blocker", grace_seconds=1)
    whole = of_target(
        lambda: len(bound(scratch, names)) == room.size,
        within_seconds=profile.waits.unschedulable_seconds,
        what=f"all {room.size} members bound, now that there is room",
        excused_seconds=cluster.silent_seconds,
    )
    evidence.record("bound_when_there_was_room", bound(scratch, names))
    assert whole, f"{whole.what}: {bound(scratch, names)} are"

    scratch.clear()
    nodes = [node for node in cluster.nodes() if node.name in room.nodes]
    freed = of_target(
        lambda: sum(map(accelerators.free, nodes)) == room.size,
        within_seconds=profile.waits.pod_gone_seconds,
        what=f"{room.size} {profile.accelerator.resource} free again when the gang went",
        excused_seconds=cluster.silent_seconds,
    )
    assert freed, str(freed)


def in_part(decisions: dict[str, Decision]) -> list[str]:
    return sorted(name for name, one in decisions.items() if one.node)


def test_job_short_of_one_gpu_starts_no_pod_until_its_queue_has_it(
    cluster: Cluster, kueue: Queues | None, room: Room, evidence: Evidence
) -> None:
    evidence.record("queues", "not there" if kueue is None else "Kueue's")
    if kueue is None:
        # Kubernetes' own gangs are then there to be judged, or nothing that we know.
        version(cluster)
        return
    short, enough = ({"nominalQuota": str(size)} for size in (room.size - 1, room.size))
    flavor = kueue.flavor()
    kueue.queue(QUEUE, flavor, short)
    check_single_jobs(kueue, room)
    kueue.hand_in(QUEUE, "whole", pods=room.size)
    of_target(
        lambda: kueue.refusals(QUEUE) or kueue.holders(QUEUE),
        within_seconds=STARTED_SECONDS,
        what="Kueue's decision on a Job",
        excused_seconds=cluster.silent_seconds,
    )
    early = of_target(
        lambda: kueue.holders(QUEUE), within_seconds=HELD_SECONDS, what="a pod that is bound"
    )
    started = sorted(pod.name for pod in early.seen)
    evidence.record("queue_short_of_one", {"size": room.size, "started": started})
    assert not early, f"its queue one GPU short, and of {room.size} pods of a Job {started} started"

    kueue.change(QUEUE, flavor, enough)
    whole = kueue.held(QUEUE, room.size)
    bound = [pod.name for pod in kueue.holders(QUEUE)]
    evidence.record("bound_when_the_queue_had_it", bound)
    assert whole, f"{whole}, now that the queue has {room.size}; refused: {kueue.refusals(QUEUE)}"


def check_single_jobs(kueue: Queues, room: Room) -> None:
    """Negative control: Jobs of one pod each take what the queue has, whoever else waits."""
    for number in range(room.size):
        kueue.hand_in(QUEUE, f"alone-{number}")
    took = kueue.held(QUEUE, room.size - 1)
    held = len(kueue.holders(QUEUE))
    if held != room.size - 1:
        raise HarnessError(f"{took}: a queue for {room.size - 1} GPUs gave {held} to single Jobs")
    kueue.take_away(QUEUE)
