"""GPU labels match the hardware.

Pods choose their GPU by these labels. One that still names the former card sends a model to a
device that is too small for it, or keeps a paid device idle because nobody asks for it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from fixtures.accelerators import Accelerators
from fixtures.gpu_readings import GpuReadings
from fixtures.probed_nodes import probed_nodes
from fixtures.scratch import Scratch
from hotfire import Evidence, Level, Scope, TargetProfile, requirement
from hotfire.cluster import Cluster, Node
from hotfire.errors import HarnessError
from hotfire.waiting import of_target

pytestmark = requirement(
    "GPU-004",
    Level.MUST,
    __doc__,
    source="https://github.com/NVIDIA/k8s-device-plugin/blob/main/docs/gpu-feature-discovery/README.md",
    scope=Scope.SMOKE,
)

READ = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
FACTS = ("product", "count", "memory")
# The driver keeps some memory for itself, and its versions differ in whether they count that.
MEMORY_TOLERANCE_RATIO = 0.01
SHARED = "-SHARED"
CUT = "-MIG-"
NOBODY_S_PRODUCT = "hotfire-no-such-product"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What drivers say of one node's GPUs."""

    product: str
    memory_mebibytes: int
    count: int


def read(said: str, where: str) -> tuple[str, int]:
    """Return product, as labels spell it, and MiB of the only GPU that a pod sees."""
    rows = [row.rsplit(",", 1) for row in said.strip().splitlines()]
    if len({tuple(row) for row in rows}) != 1 or not rows[0][-1].strip().isdigit():
        raise HarnessError(f"{where}: expected one kind of GPU from nvidia-smi, got {said!r}")
    return "-".join(rows[0][0].split()), int(rows[0][1])


def differences(labels: Mapping[str, str], hardware: Hardware) -> list[str]:
    """Return what labels, by fact, say otherwise than the hardware."""
    found = []
    if labels["product"].removesuffix(SHARED) != hardware.product:
        found.append(f"product is {labels['product'] or 'missing'}, a pod reads {hardware.product}")
    if labels["count"] != str(hardware.count):
        found.append(f"count is {labels['count'] or 'missing'}, the driver has {hardware.count}")
    memory = int(labels["memory"]) if labels["memory"].isdecimal() else 0
    tolerance = hardware.memory_mebibytes * MEMORY_TOLERANCE_RATIO
    if abs(memory - hardware.memory_mebibytes) > tolerance:
        said = labels["memory"] or "missing"
        found.append(f"memory is {said}, a pod reads {hardware.memory_mebibytes} MiB")
    return found


def labels_of(node: Node, resource: str) -> dict[str, str]:
    return {fact: node.labels.get(f"{resource}.{fact}", "") for fact in FACTS}


def labelled_nodes(profile: TargetProfile, cluster: Cluster, evidence: Evidence) -> list[Node]:
    """Return the GPU nodes, once it is clear that their labels are of a kind we can read."""
    resource = profile.accelerator.resource
    nodes = probed_nodes(cluster, profile, evidence)
    products = {node.name: labels_of(node, resource)["product"] for node in nodes}
    if not any(products.values()):
        raise HarnessError(
            f"no node has a label {resource}.product; run GPU feature discovery, or set "
            "accelerator.resource to the name that the labels begin with"
        )
    return nodes


def hardware_of(
    nodes: list[Node], accelerators: Accelerators, readings: GpuReadings
) -> dict[str, Hardware]:
    """Return what pods read on each node."""
    said = readings.by_node(nodes, READ)
    found = {}
    for node in nodes:
        product, memory = read(said[node.name], node.name)
        # A pod sees the GPUs it holds; how many there are, the driver on the node knows.
        count = accelerators.fitted(node)
        found[node.name] = Hardware(product=product, memory_mebibytes=memory, count=count)
    return found


def check_control(labels: dict[str, str], hardware: Hardware) -> None:
    """Negative control: each label, changed, must be reported."""
    for fact in FACTS:
        changed = labels | {fact: "1" + labels[fact]}
        if len(differences(changed, hardware)) != 1:
            raise HarnessError(f"a changed {fact} label goes unnoticed: {changed}, {hardware}")


def test_labels_equal_what_pods_read(
    profile: TargetProfile,
    cluster: Cluster,
    accelerators: Accelerators,
    gpu_readings: GpuReadings,
    evidence: Evidence,
) -> None:
    nodes = labelled_nodes(profile, cluster, evidence)
    labels = {node.name: labels_of(node, profile.accelerator.resource) for node in nodes}
    # Such labels tell of instances, and nvidia-smi of whole GPUs.
    cut = [name for name, found in labels.items() if CUT in found["product"]]
    whole = [node for node in nodes if node.name not in cut]
    hardware = hardware_of(whole, accelerators, gpu_readings)
    evidence.record("labels", labels)
    evidence.record("hardware", {name: asdict(found) for name, found in hardware.items()})

    for name, found in hardware.items():
        wrong = differences(labels[name], found)
        assert not wrong, f"{name}: label {'; '.join(wrong)}"
    for name, found in hardware.items():
        check_control(labels[name], found)
    if cut:
        raise HarnessError(f"the products of {', '.join(cut)} are MIG instances: not compared")


def scheduled(scratch: Scratch, pod: str) -> dict[str, Any]:
    """Return the scheduler's own word on a pod; empty while it has said nothing."""
    conditions = scratch.document(pod).get("status", {}).get("conditions", [])
    found = [each for each in conditions if each["type"] == "PodScheduled"]
    return found[0] if found else {}


def test_pod_that_selects_a_product_gets_it(
    profile: TargetProfile,
    cluster: Cluster,
    accelerators: Accelerators,
    scratch: Scratch,
    stack: object,
    evidence: Evidence,
) -> None:
    resource = profile.accelerator.resource
    label = f"{resource}.product"
    free = {
        node.labels[label]
        for node in labelled_nodes(profile, cluster, evidence)
        if node.labels.get(label)
        and CUT not in node.labels[label]
        and int(node.allocatable.get(resource, "0"))
        and accelerators.free(node) > 0
    }
    if not free:
        raise HarnessError(f"no labelled node has a free {resource} for a pod that selects by it")
    products = dict(enumerate(sorted(free)))
    for number, product in products.items():
        scratch.pod(f"wants-{number}", argv=READ, gpus=1, node_selector={label: product})
    scratch.pod("wants-none", argv=READ, gpus=1, node_selector={label: NOBODY_S_PRODUCT})
    got = {
        product: read(scratch.output(f"wants-{number}"), product)[0]
        for number, product in products.items()
    }
    word = of_target(
        partial(scheduled, scratch, "wants-none"),
        within_seconds=profile.waits.unschedulable_seconds,
        what="the scheduler's word on wants-none",
        excused_seconds=cluster.silent_seconds,
    ).required()
    evidence.record("read_by_product_selected", got)
    evidence.record("scheduler_on_nobody_s_product", word)

    for product, seen in got.items():
        assert product.removesuffix(SHARED) == seen, f"a pod that selects {product} reads {seen}"
    # Negative control: a selector that decides nothing would give every pod its wish.
    if word["status"] != "False":
        raise HarnessError(f"a pod that selects {NOBODY_S_PRODUCT} was bound all the same")
