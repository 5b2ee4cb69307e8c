"""A GPU node takes GPU pods only with driver, toolkit, device plugin and exporter working.

A node that offers its GPUs too early takes an engine that cannot start, again and again, while
others would have been ready. One without an exporter serves, and nobody sees when it fails. A
DaemonSet that does not tolerate the GPU taint is content all the same: it wants no pod there.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from fixtures.accelerators import Accelerators
from fixtures.gpu_exporters import GpuExporters
from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Decision, Scratch
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Node, Pod, keys_that_select, selects_node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GPU-003",
    Level.MUST,
    __doc__,
    source="https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/overview.html",
)

LIST_GPUS = ["nvidia-smi", "-L"]
# Labels that every node has: who selects by these alone means no GPU nodes.
GENERAL = {"kubernetes.io/os", "kubernetes.io/arch", "kubernetes.io/hostname"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What a node lacks, and whether it takes GPU pods."""

    lacking: tuple[str, ...]
    takes: bool
    refusal: str


def equippers(cluster: Cluster, gpu_nodes: list[Node]) -> list[Document]:
    """Return the DaemonSets whose labels single GPU nodes out, whatever taints say."""
    names = {node.name for node in gpu_nodes}
    others = [node for node in cluster.nodes() if node.name not in names]

    def meant_for_gpus(spec: Document) -> bool:
        return (
            bool(keys_that_select(spec) - GENERAL)
            and any(selects_node(spec, node) for node in gpu_nodes)
            and not any(selects_node(spec, node) for node in others)
        )

    listed = cluster.list("DaemonSet", api_version="apps/v1")
    return [one for one in listed if meant_for_gpus(one["spec"]["template"]["spec"])]


def nodes_served(cluster: Cluster, daemon_sets: list[Document]) -> dict[str, set[str]]:
    """Return by the uid of each DaemonSet the nodes on which it has a Ready pod."""
    found: dict[str, set[str]] = {one["metadata"]["uid"]: set() for one in daemon_sets}
    for namespace in sorted({one["metadata"]["namespace"] for one in daemon_sets}):
        for document in cluster.each("Pod", namespace):
            for owner in document["metadata"].get("ownerReferences") or ():
                if owner["uid"] in found and (pod := Pod.parse(document)).serving:
                    found[owner["uid"]].add(pod.node)
    return found


def absent(
    cluster: Cluster, profile: TargetProfile, nodes: list[Node], exporters: GpuExporters
) -> dict[str, list[str]]:
    """Return what each node lacks.

    Raises:
        HarnessError: nothing equips GPU nodes in a way that we know.
    """
    daemon_sets = equippers(cluster, cluster.nodes(profile.accelerator.node_selector))
    if not daemon_sets:
        raise HarnessError("no DaemonSet singles out GPU nodes by their labels: nothing to look at")
    found: dict[str, list[str]] = {node.name: [] for node in nodes}
    served = nodes_served(cluster, daemon_sets)
    for one in daemon_sets:
        there, spec = served[one["metadata"]["uid"]], one["spec"]["template"]["spec"]
        for node in nodes:
            if selects_node(spec, node) and node.name not in there:
                found[node.name].append(f"a Ready pod of {one['metadata']['name']}")
    told = exporters.read()
    for node in nodes:
        found[node.name] += [] if node.name in told else ["an exporter that tells of its GPUs"]
    return found


def started(nodes: list[Node], accelerators: Accelerators) -> Iterator[tuple[str, str]]:
    """Start a GPU pod on each node that offers GPUs to anybody; yield node and pod."""
    for node in nodes:
        if node.ready and not node.unschedulable and accelerators.total(node):
            name = f"gpu-{node.name}"
            accelerators.start(name, node, argv=LIST_GPUS)
            yield node.name, name


def test_node_that_takes_gpu_pods_lacks_nothing(
    profile: TargetProfile,
    cluster: Cluster,
    accelerators: Accelerators,
    gpu_exporters: GpuExporters,
    scratch: Scratch,
    evidence: Evidence,
) -> None:
    nodes = probed_nodes(cluster, profile, evidence)
    lacking = absent(cluster, profile, nodes, gpu_exporters)
    probes = dict(started(nodes, accelerators))
    decisions = scratch.decisions() if probes else {}
    nobody = Decision("", "offers no GPU, or takes no pod at all")
    found = {}
    for node in nodes:
        decision = decisions.get(probes.get(node.name, ""), nobody)
        # A full node took GPU pods before, and takes the next one when a GPU is given back.
        takes = bool(decision.node or accelerators.holders(node))
        found[node.name] = Equipment(
            lacking=tuple(lacking[node.name]), takes=takes, refusal=decision.refusal
        )
    bound = [pod for pod in probes.values() if decisions[pod].node]
    evidence.record("nodes", {name: asdict(one) for name, one in found.items()})

    for name, one in found.items():
        assert not (one.takes and one.lacking), f"{name} takes GPU pods without {one.lacking[0]}"
    listed = {pod: scratch.output(pod).strip() for pod in bound}
    evidence.record("listed_in_pods", listed)
    for pod, text in listed.items():
        assert "UUID" in text, f"{decisions[pod].node} took {pod}, which finds no GPU: {text}"
    # Negative control: where everything works the pod does run, so it is no other bar.
    if not bound:
        raise HarnessError(f"no node took a GPU pod, so nothing shows when one does: {found}")
