"""Advertised driver and runtime versions are those that pods read, and engine images fit them.

Whoever plans an upgrade reads the labels. Where they still tell of the former driver, an image that
needs the new one is kept away, or is sent where it cannot start.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fixtures.gpu_readings import GpuReadings
from fixtures.probed_nodes import probed_nodes
from fixtures.stack import Stack
from hotfire import Evidence, Level, TargetProfile, requirement
from hotfire.cluster import Cluster, Document, Node
from hotfire.errors import HarnessError

pytestmark = requirement(
    "GPU-002",
    Level.MUST,
    __doc__,
    source="https://github.com/cncf/k8s-ai-conformance/blob/main/docs/AIConformance-1.37.yaml",
    cncf="accelerators.driver_runtime_management",
)

CLAIM_API = "resource.k8s.io/v1"
# The table that nvidia-smi prints when it is asked nothing.
READ = ["nvidia-smi"]
DRIVER = re.compile(r"Driver Version: *([\d.]+)")
RUNTIME = re.compile(r"CUDA Version: *([\d.]+)")
# Feature discovery's labels, the newer ones first, and a DRA driver's attributes.
LABELS = {
    "driver": (
        ("cuda.driver-version.full",),
        ("cuda.driver.major", "cuda.driver.minor", "cuda.driver.rev"),
    ),
    "runtime": (
        ("cuda.runtime-version.full",),
        ("cuda.runtime.major", "cuda.runtime.minor"),
    ),
}
ATTRIBUTES = {"driver": "driverVersion", "runtime": "cudaDriverVersion"}
# Which CUDA an image was built for, by its environment or by its Python packages.
CUDA_PACKAGE = """
from importlib.metadata import distributions
for one in distributions():
    name = (one.metadata["Name"] or "").lower().replace("_", "-")
    if name.startswith("nvidia-cuda-runtime"):
        print(one.version)
"""
ASK_IMAGE = 'echo "$CUDA_VERSION"; python3 -c "$0" 2>/dev/null; ls -d /usr/local/cuda*/compat; true'
VERSION = re.compile(r"^\d+(\.\d+)+", re.MULTILINE)
COMPATIBILITY = "/compat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Driver and the newest CUDA it runs; empty where nothing tells."""

    driver: str
    runtime: str


def read(said: str, where: str) -> Versions:
    """Return what a pod reads.

    Raises:
        HarnessError: it printed something else than nvidia-smi's table.
    """
    driver, runtime = DRIVER.search(said), RUNTIME.search(said)
    if not driver or not runtime:
        raise HarnessError(f"{where}: expected the table of nvidia-smi, got {said.strip()[:200]!r}")
    return Versions(driver=driver[1], runtime=runtime[1])


def advertised(node: Node, vendor: str, slices: list[Document]) -> list[Versions]:
    """Return every word about a node's versions: its labels', and each of its devices' by claim."""
    found = [
        Versions(**{fact: by_label(node.labels, vendor, fact) for fact in LABELS}),
        *(
            Versions(**{fact: by_attribute(device, fact) for fact in ATTRIBUTES})
            for one in slices
            if one["spec"].get("nodeName") == node.name
            for device in one["spec"].get("devices") or ()
        ),
    ]
    return [one for one in found if one.driver or one.runtime]


def by_label(labels: Mapping[str, str], vendor: str, fact: str) -> str:
    for keys in LABELS[fact]:
        parts = [labels.get(f"{vendor}/{key}", "") for key in keys]
        if parts[0]:
            return ".".join(part for part in parts if part)
    return ""


def by_attribute(device: Document, fact: str) -> str:
    attribute = (device.get("attributes") or {}).get(ATTRIBUTES[fact]) or {}
    return str(attribute.get("version") or attribute.get("string") or "")


def numbers(version: str) -> list[int]:
    """Return a version's numbers; zeros at its end mean nothing, as in 13.0 and 13.0.0."""
    found = [int(part) for part in version.split(".") if part.isdecimal()]
    while found and not found[-1]:
        found.pop()
    return found


def differences(words: list[Versions], seen: Versions) -> list[str]:
    """Return what is advertised otherwise than a pod reads it."""
    return [
        f"{fact} {told} is advertised, a pod reads {getattr(seen, fact)}"
        for one in words
        for fact, told in asdict(one).items()
        if told and numbers(told) != numbers(getattr(seen, fact))
    ]


def check_control(name: str, seen: Versions) -> None:
    """Negative control: a wrong version must be reported, of the driver and of the runtime."""
    for fact in LABELS:
        wrong = Versions(**{**asdict(seen), fact: "1" + getattr(seen, fact)})
        if len(differences([wrong], seen)) != 1:
            raise HarnessError(f"{name}: a wrong {fact} goes unnoticed: {wrong}, {seen}")


def test_advertised_versions_are_those_pods_read(
    profile: TargetProfile, cluster: Cluster, gpu_readings: GpuReadings, evidence: Evidence
) -> None:
    nodes = probed_nodes(cluster, profile, evidence)
    by_claim = cluster.serves("ResourceSlice", CLAIM_API)
    slices = cluster.list("ResourceSlice", api_version=CLAIM_API) if by_claim else []
    vendor = profile.accelerator.resource.partition("/")[0]
    words = {node.name: advertised(node, vendor, slices) for node in nodes}
    if not any(words.values()):
        raise HarnessError(
            f"no label {vendor}/cuda.* and no ResourceSlice tells a driver version; run GPU "
            "feature discovery; of other accelerators nothing is known here"
        )
    said = gpu_readings.by_node(nodes, READ)
    seen = {name: read(text, name) for name, text in said.items()}
    evidence.record("advertised", {name: [*map(asdict, those)] for name, those in words.items()})
    evidence.record("read_in_pods", {name: asdict(one) for name, one in seen.items()})

    for name, found in seen.items():
        assert words[name], f"{name}: nothing advertises its driver version, a pod reads {found}"
        wrong = differences(words[name], found)
        assert not wrong, f"{name}: {'; '.join(wrong)}"
    for name, found in seen.items():
        check_control(name, found)


def fits(image: str, runtime: str) -> bool:
    """Return whether a driver runs an image's CUDA: any minor version of a major one it knows."""
    return numbers(image)[:1] <= numbers(runtime)[:1]


def test_engine_images_fit_the_driver(
    profile: TargetProfile,
    cluster: Cluster,
    stack: Stack,
    gpu_readings: GpuReadings,
    evidence: Evidence,
) -> None:
    engines = [pod for pod in stack.engines() if pod.ready]
    places = {pod.node for pod in engines}
    nodes = [node for node in cluster.nodes() if node.name in places]
    said = gpu_readings.by_node(nodes, READ)
    runtimes = {name: read(text, name).runtime for name, text in said.items()}
    found = {}
    for pod in engines:
        argv = ["sh", "-c", ASK_IMAGE, CUDA_PACKAGE]
        container = profile.engine.container
        done = cluster.exec(pod.namespace, pod.name, container=container, argv=argv)
        if done.rc:
            raise HarnessError(f"{pod.name} cannot be asked for its CUDA: {done.stderr.strip()}")
        found[pod.name] = done.stdout
    images = {name: [each[0] for each in VERSION.finditer(text)] for name, text in found.items()}
    evidence.record("newest_cuda_of_the_driver", runtimes)
    evidence.record("cuda_of_engine_images", images)
    if not engines:
        raise HarnessError(f"no engine in {stack.namespace} is Ready")

    # An image without CUDA, and one that brings the libraries for older drivers, fit any.
    for pod in engines:
        carried = [] if COMPATIBILITY in found[pod.name] else images[pod.name]
        newest = runtimes[pod.node]
        for image in carried:
            assert fits(image, newest), f"{pod.name} needs CUDA {image}, its node runs {newest}"
        major = numbers(newest)[0]
        if fits(f"{major + 1}.0", newest):
            raise HarnessError(f"an image that needs CUDA {major + 1} goes unnoticed: {newest}")
