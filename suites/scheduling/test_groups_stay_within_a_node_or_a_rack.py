"""A tensor-parallel group stays in one node and a pipeline group in one rack.

Tensor parallelism exchanges each layer's results: over the network between nodes it is many times
slower than within one, and nothing fails. A group that does not fit has to wait, not to be split.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pytest

from fixtures.accelerators import Accelerators
from fixtures.queues import API, STARTED_SECONDS, Queues
from fixtures.scratch import PREFIX
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster
from hotfire.errors import HarnessError
from hotfire.waiting import of_target, until

pytestmark = requirement(
    "SCH-009",
    Level.SHOULD,
    __doc__,
    source="https://kueue.sigs.k8s.io/docs/concepts/topology_aware_scheduling/",
    features={"topology-aware-scheduling"},
)

NODE = "kubernetes.io/hostname"
REQUIRED = "kueue.x-k8s.io/podset-required-topology"
QUEUE, PLENTY = "groups", {"nominalQuota": "10000"}
# How long no member may be bound once the queue has refused the group.
HELD_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where free accelerators are, on nodes whose topology the target declares."""

    flavor: str
    """A ResourceFlavor of the target's, with its nodes and its Topology."""
    free: Mapping[str, int]
    racks: Mapping[str, str]

    def domain(self, level: str, node: str) -> str:
        """Return the node or the rack that a node is in."""
        return self.racks[node] if level == "rack" else node

    def largest(self, level: str) -> int:
        """Return the most accelerators that are free in one node or rack."""
        domains = {self.domain(level, node) for node in self.free}
        return max(
            sum(free for node, free in self.free.items() if self.domain(level, node) == one)
            for one in domains
        )

    def fitting(self, level: str) -> int:
        """Return the size of a group that fills a node, or is just too large for one.

        Raises:
            HarnessError: there is no room for it.
        """
        size = self.largest("node") + (level == "rack")
        if size < 2 or size > self.largest(level):
            raise HarnessError(f"a group of {max(size, 2)} fits no {level}: {self.free}; free some")
        return size

    def too_large(self, level: str) -> int:
        """Return the size of a group that no node or rack takes, and all together do.

        Raises:
            HarnessError: there is no room for it.
        """
        size = self.largest(level) + 1
        if size > sum(self.free.values()):
            raise HarnessError(
                f"all free accelerators are in one {level}: {self.free}; free some in another"
            )
        return size


def flavor_with_topology(cluster: Cluster, rack_label: str) -> str:
    """Return a flavor of the target's whose nodes are told apart by rack and by name.

    Raises:
        HarnessError: it has none.
    """
    topologies = {
        one["metadata"]["name"]: [level["nodeLabel"] for level in one["spec"]["levels"]]
        for one in cluster.list("Topology", api_version=API)
    }
    fit = {name for name, labels in topologies.items() if {rack_label, NODE} <= set(labels)}
    for one in cluster.list("ResourceFlavor", api_version=API):
        name = str(one["metadata"]["name"])
        if one["spec"].get("topologyName") in fit and not name.startswith(PREFIX):
            return name
    raise HarnessError(
        "topology-aware scheduling is claimed, and no ResourceFlavor has a Topology with the"
        f" levels {rack_label} and {NODE}; there are {topologies}"
    )


@pytest.fixture
def room(
    profile: TargetProfile, cluster: Cluster, queues: Queues, accelerators: Accelerators
) -> Room:
    """Free accelerators by node; a queue of ours admits any number of them."""
    label = profile.fabric.rack_label
    flavor = flavor_with_topology(cluster, label)
    spec = (cluster.get("ResourceFlavor", None, flavor, api_version=API) or {})["spec"]
    nodes = [
        node
        for node in cluster.nodes(spec.get("nodeLabels") or {})
        if node.ready and not node.unschedulable and label in node.labels
    ]
    queues.queue(QUEUE, flavor, PLENTY)
    return Room(
        flavor=flavor,
        free={node.name: accelerators.free(node) for node in nodes},
        racks={node.name: node.labels[label] for node in nodes},
    )


def places(queues: Queues, room: Room, level: str) -> list[str]:
    """Return the nodes or racks in which members of a group hold their accelerators."""
    return sorted({room.domain(level, pod.node) for pod in queues.holders(QUEUE)})


@pytest.mark.parametrize("level", ["node", "rack"])
def test_group_is_placed_whole_or_waits(
    level: str, profile: TargetProfile, queues: Queues, room: Room, evidence: Evidence
) -> None:
    label = {REQUIRED: NODE if level == "node" else profile.fabric.rack_label}
    evidence.record("room", asdict(room))
    fitting, too_large = room.fitting(level), room.too_large(level)

    queues.hand_in(QUEUE, "fits", pods=fitting, annotations=label)
    placed = queues.held(QUEUE, fitting)
    found = places(queues, room, level)
    evidence.record("group_that_fits", {"members": fitting, f"{level}s": found})
    assert placed, f"a group of {fitting} that fits one {level}: {placed}"
    assert len(found) == 1, f"a group of {fitting} that fits one {level} is split over {found}"
    queues.take_away(QUEUE)

    queues.hand_in(QUEUE, "large", pods=too_large, annotations=label)
    found = places_of_too_large(queues, room, level, too_large)
    evidence.record("group_that_fits_none", {"members": too_large, f"{level}s": found})
    assert len(found) < 2, f"a group of {too_large} is larger than any {level}, and split: {found}"
    queues.take_away(QUEUE)
    check_control(queues, room, level, too_large)


def places_of_too_large(queues: Queues, room: Room, level: str, size: int) -> list[str]:
    """Return where members of a group are that no place can hold; nowhere, on a sound target."""
    until(
        lambda: queues.refusals(QUEUE) or queues.holders(QUEUE),
        within_seconds=STARTED_SECONDS,
        what=f"the queue's word on a group of {size}",
    )
    began = of_target(
        lambda: queues.holders(QUEUE), within_seconds=HELD_SECONDS, what="a member that is bound"
    )
    if began:
        queues.held(QUEUE, size)
    return places(queues, room, level)


def check_control(queues: Queues, room: Room, level: str, size: int) -> None:
    """Negative control: the same group without a wish is split, for there is room."""
    queues.hand_in(QUEUE, "anywhere", pods=size)
    placed = queues.held(QUEUE, size)
    if not placed or len(places(queues, room, level)) < 2:
        raise HarnessError(f"a group of {size} without a wish was to be split: {placed}")
