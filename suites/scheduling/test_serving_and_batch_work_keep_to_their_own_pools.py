"""Inference runs under a serving controller, batch work as queued Jobs, on separate pools.

A training run on the nodes of the engines takes the GPU that the next replica needs, and the disk
and the network of those that run. A pod that nobody owns is not made again when its node goes.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

from fixtures.scratch import PREFIX, Scratch
from fixtures.stack import Stack
from fixtures.stand_ins import IDLE
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Node, selects_node, untolerated
from hotfire.errors import ClusterError, HarnessError

pytestmark = requirement(
    "SCH-012",
    Level.SHOULD,
    __doc__,
    source="https://kubernetes.io/docs/concepts/workloads/controllers/",
)

T = TypeVar("T")
OVER = ("Succeeded", "Failed")
# Fields by which a pod says where it may run.
PLACING = ("nodeSelector", "affinity", "tolerations")
# How the kinds of what runs to its end are called: Job, PyTorchJob, RayJob, JobSet, Workflow.
BATCH = ("Job", "JobSet", "Workflow")
# Belong to their node whatever else runs there.
OF_NODES = ("DaemonSet", "Node")
# By which label or annotation a queue knows its work: Kueue, Volcano, YuniKorn, KAI and Run:ai.
QUEUES = (
    "kueue.x-k8s.io/queue-name",
    "volcano.sh/queue-name",
    "scheduling.volcano.sh/queue-name",
    "yunikorn.apache.org/queue",
    "kai.scheduler/queue",
    "runai/queue",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPod:
    """A pod that asks for accelerators, whose it is, and where it may run."""

    pod: str
    node: str
    owners: tuple[str, ...]
    """Kinds of its controller, of that one's, and so on."""
    queue: str
    nodes: tuple[str, ...]

    @property
    def batch(self) -> bool:
        return any(kind.endswith(BATCH) for kind in self.owners)

    def findings(self, inference: set[str]) -> list[str]:
        """Return what is wrong with it, given the nodes of the engines."""
        if not self.owners:
            return [f"{self.pod} runs under no controller"]
        if not self.batch:
            return []
        found = [] if self.queue else [f"{self.pod} is batch work that no queue admitted"]
        if shared := sorted(inference.intersection(self.nodes)):
            found.append(f"{self.pod} is batch work that may run on {shared[0]}, where engines may")
        return found


def asks_for_accelerators(pod: Document, vendor: str) -> bool:
    """Return whether a pod wants devices of this vendor by number, or any by claim."""
    spec = pod["spec"]
    limits = [(one.get("resources") or {}).get("limits") or {} for one in spec["containers"]]
    by_number = any(name.partition("/")[0] == vendor for names in limits for name in names)
    return by_number or bool(spec.get("resourceClaims"))


def owners_of(cluster: Cluster, document: Document) -> list[Document]:
    """Return the controllers above an object, the nearest first, as far as they may be read.

    Of one that may not be read nothing but its kind is known.
    """
    metadata = document["metadata"]
    references = [one for one in metadata.get("ownerReferences") or () if one.get("controller")]
    if not references:
        return []
    [reference] = references
    unknown = {"kind": reference["kind"], "metadata": {}}
    place = None if reference["kind"] == "Node" else metadata["namespace"]
    try:
        found = cluster.get(
            reference["kind"], place, reference["name"], api_version=reference["apiVersion"]
        )
    except ClusterError:
        return [unknown]
    return [found, *owners_of(cluster, found)] if found else [unknown]


def queue_of(documents: list[Document]) -> str:
    """Return the queue that a pod or one of its owners names."""
    words: list[Mapping[str, str]] = [
        document["metadata"].get(field) or {}
        for document in documents
        for field in ("labels", "annotations")
    ]
    return next((row[key] for row in words for key in QUEUES if row.get(key)), "")


def open_nodes(spec: Document, nodes: list[Node]) -> tuple[str, ...]:
    """Return the nodes whose labels and taints let a pod in."""
    return tuple(
        node.name for node in nodes if selects_node(spec, node) and not untolerated(spec, node)
    )


class Described:
    """GPU pods, and what decides about them: looked up once for all pods that have it in common."""

    def __init__(self, cluster: Cluster, nodes: list[Node]) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._owners: dict[str, list[Document]] = {}
        self._open: dict[str, tuple[str, ...]] = {}

    def of(self, pod: Document) -> GpuPod:
        metadata, spec = pod["metadata"], pod["spec"]
        belongs_to = [metadata["namespace"], metadata.get("ownerReferences")]
        placed_by = [spec.get(name) for name in PLACING]
        owners = self._once(self._owners, belongs_to, lambda: owners_of(self._cluster, pod))
        return GpuPod(
            pod=f"{metadata['namespace']}/{metadata['name']}",
            node=spec.get("nodeName") or "",
            owners=tuple(one["kind"] for one in owners),
            queue=queue_of([pod, *owners]),
            nodes=self._once(self._open, placed_by, lambda: open_nodes(spec, self._nodes)),
        )

    @staticmethod
    def _once(known: dict[str, T], of: object, look: Callable[[], T]) -> T:
        key = json.dumps(of, sort_keys=True)
        if key not in known:
            known[key] = look()
        return known[key]


def test_every_gpu_pod_has_its_controller_and_its_pool(
    profile: TargetProfile, cluster: Cluster, stack: Stack, scratch: Scratch, evidence: Evidence
) -> None:
    nodes = cluster.nodes(profile.accelerator.node_selector)
    vendor = profile.accelerator.resource.partition("/")[0]
    described = Described(cluster, nodes)
    found = [
        described.of(pod)
        for pod in cluster.each("Pod")
        if pod["status"].get("phase") not in OVER
        and asks_for_accelerators(pod, vendor)
        and not pod["metadata"]["namespace"].startswith(PREFIX)
    ]
    engines = {f"{pod.namespace}/{pod.name}" for pod in stack.engines()}
    inference = {node for one in found if one.pod in engines for node in one.nodes}
    evidence.record("inference_nodes", sorted(inference))
    evidence.record("gpu_pods", [asdict(one) | {"nodes": len(one.nodes)} for one in found])
    if not inference:
        raise HarnessError(
            f"no engine asks for a {vendor} accelerator, so nothing shows which nodes are theirs"
        )

    users = [one for one in found if not set(one.owners).intersection(OF_NODES)]
    wrong = [finding for one in users for finding in one.findings(inference)]
    assert not wrong, "; ".join(wrong[:5])
    # Negative control: a bare GPU pod, on this very target, must be reported.
    scratch.pod("bare", argv=IDLE, gpus=1)
    bare = described.of(scratch.document("bare"))
    if not (asks_for_accelerators(scratch.document("bare"), vendor) and bare.findings(inference)):
        raise HarnessError(f"a pod that nobody owns goes unnoticed: {bare}")
