"""A stand-in for a cluster autoscaler: grows and shrinks the node pool by what pods wait for.

It keeps to what every autoscaler promises: a node is added only for pods that the scheduler cannot
place and that the node would take, and one without GPU work leaves after a cooldown. What its
reckoning lacks (spread, pod affinity) cannot make it add for ever: a pod that a fresh, empty node
did not help is not asked for again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hotfire.cluster import Cluster, Document
from hotfire.errors import HotfireError
from hotfire.lab.cluster.kube import condition
from hotfire.lab.cluster.pool_process import AT_WORK, Limits
from hotfire.lab.lab import Lab
from hotfire.lab.machine import worker
from hotfire.lab.pool.node_demand import (
    GPU,
    Room,
    fits,
    quantity,
    request,
    unplaced,
    unschedulable,
)
from hotfire.lab.pool.node_pool import POOL_LABEL, NodePool, free_numbers
from hotfire.lab.shape.topology import Topology
from hotfire.profile import TargetProfile
from hotfire.waiting import pause

_LOOK_SECONDS = 1.0
_FINISHED = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A worker of the pool without GPU work."""

    name: str
    room: Room
    since: float
    """On the monotonic clock, in seconds."""


class Autoscaler:
    """Looks once a second; changes one worker at a time."""

    def __init__(
        self, lab: Lab, pool: NodePool, limits: Limits, say: Callable[[str], None]
    ) -> None:
        self._lab = lab
        self._pool = pool
        self._limits = limits
        self._say = say
        self._cluster = Cluster.connect(TargetProfile.read(lab.state.target))
        self._idle: dict[str, Idle] = {}
        self._beyond_help: set[str] = set()

    def run(self) -> None:
        """Look until the lab is down; a look that fails is told and repeated."""
        self._say(f"{self._limits}, {AT_WORK}")
        while self._lab.state.read() is not None:
            try:
                self.look()
            except HotfireError as error:
                self._say(f"this look failed: {error}")
            pause(_LOOK_SECONDS, why="the pool is looked at once a second")

    def look(self) -> None:
        """Add a worker, remove one, or leave the pool as it is."""
        topology = self._lab.topology()
        count = topology.nodes + len(topology.pool_nodes)
        self._idle = {each.name: each for each in self._idle_nodes(topology)}
        waiting = self._waiting()
        if count < self._limits.least:
            self._add(free_numbers(topology)[0], f"{count} workers are fewer than asked for")
        elif count < self._limits.most and (found := self._wanted(topology, waiting)):
            number, pod = found
            self._add(number, f"{_name(pod)} waits for {request(pod, GPU):g} GPUs")
        elif count > self._limits.least:
            self._remove_idle(waiting)

    def _waiting(self) -> list[Document]:
        pending = self._cluster.list("Pod", field_selector="status.phase=Pending")
        stuck = [dict(pod) for pod in unschedulable(pending)]
        self._beyond_help &= {pod["metadata"]["uid"] for pod in stuck}
        return [pod for pod in stuck if pod["metadata"]["uid"] not in self._beyond_help]

    def _wanted(self, topology: Topology, waiting: list[Document]) -> tuple[int, Document] | None:
        """Return the number of a worker that would help, and a pod that it would help."""
        left = unplaced(waiting, [idle.room for idle in self._idle.values()])
        if not left:
            return None
        # One number for each rack: they differ in their labels only.
        for number in free_numbers(topology)[: topology.racks]:
            room = self._room_of_new(topology, number)
            for pod in left:
                if fits(pod, room):
                    return number, dict(pod)
        return None

    def _room_of_new(self, topology: Topology, number: int) -> Room:
        grown = replace(topology, pool_nodes=(*topology.pool_nodes, number))
        node = grown.machine(f"n{number}")
        # All workers with GPUs are of one kind: the first one tells what a further one would have.
        like = self._cluster.get("Node", None, topology.workers[0].name) or {}
        return replace(
            _room(like),
            labels={**worker.node_labels(grown, node), **POOL_LABEL},
            taints=[worker.GPU_TAINT],
            gpus=len(node.gpus),
        )

    def _idle_nodes(self, topology: Topology) -> list[Idle]:
        if not topology.pool_nodes:
            return []
        label = ",".join(f"{key}={value}" for key, value in POOL_LABEL.items())
        nodes = self._cluster.list("Node", selector=label)
        ready = [node for node in nodes if condition(node, "Ready")]
        return [self._idle_now(node) for node in ready if not self._works(node)]

    def _idle_now(self, node: Document) -> Idle:
        name = node["metadata"]["name"]
        known = self._idle.get(name)
        return Idle(name=name, room=_room(node), since=known.since if known else time.monotonic())

    def _works(self, node: Document) -> bool:
        where = f"spec.nodeName={node['metadata']['name']}"
        pods = self._cluster.list("Pod", field_selector=where)
        return any(request(pod, GPU) > 0 and not _finished(pod) for pod in pods)

    def _remove_idle(self, waiting: list[Document]) -> None:
        now = time.monotonic()
        for idle in self._idle.values():
            if now - idle.since >= self._limits.cooldown_seconds:
                helpless = [pod for pod in waiting if fits(pod, idle.room)]
                self._beyond_help |= {pod["metadata"]["uid"] for pod in helpless}
                for pod in helpless:
                    self._say(f"{_name(pod)} was not placed on {idle.name}, which stood empty")
                self._say(f"{idle.name} had no GPU work for {now - idle.since:.0f} s")
                # Should its pods refuse to go, it is asked again after another cooldown.
                self._idle[idle.name] = replace(idle, since=now)
                self._pool.remove(idle.name)
                return

    def _add(self, number: int, why: str) -> None:
        self._say(why)
        self._pool.add(number)


def _room(node: Document) -> Room:
    offered = node.get("status", {}).get("allocatable", {})
    return Room(
        labels=node.get("metadata", {}).get("labels", {}),
        taints=node.get("spec", {}).get("taints", []),
        gpus=quantity(offered.get(GPU, "0")),
        cores=quantity(offered.get("cpu", "0")),
        memory_bytes=quantity(offered.get("memory", "0")),
    )


def _finished(pod: Document) -> bool:
    return pod.get("status", {}).get("phase") in _FINISHED


def _name(pod: Document) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
