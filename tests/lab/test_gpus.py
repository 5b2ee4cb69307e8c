"""GPUs of the standing lab as a platform engineer meets them on NVIDIA nodes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hotfire.lab import readiness
from hotfire.lab.gpus import CONFIG, GpuSharing
from hotfire.lab.kube import condition
from hotfire.lab.lab import Lab
from hotfire.metrics import Metrics, parse
from hotfire.waiting import until

pytestmark = pytest.mark.lab

NAMESPACE = "gpu-tests"
# Opens every block device of the GPUs' kind by its number, and prints what their first sectors say.
OPEN_ALL = """
import os, stat
for minor in range(256):
    path = f"/tmp/{minor}"
    os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, minor))
    try:
        print(open(path, "rb").read(512).rstrip(b"\\0").decode())
    except OSError as error:
        print(error.strerror)
"""
IDLE, BUSY = ["sleep", "600"], ["python3", "-c", "while True: pass"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """Pods of one container each, on nodes of the lab."""

    lab: Lab

    def start(self, name: str, argv: list[str], *, node: str, gpus: int = 1) -> None:
        """Start a pod and wait until it is ready."""
        limits = {"memory": "64Mi", "cpu": "300m"} | ({"nvidia.com/gpu": gpus} if gpus else {})
        container = {
            "name": "probe",
            "image": "docker.io/library/python:3.11-slim",
            "command": argv,
            "resources": {"limits": limits, "requests": {"cpu": "10m"}},
        }
        spec = {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
        }
        metadata = {"name": name, "namespace": NAMESPACE}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        self.run("create", "--filename=-", stdin=json.dumps(pod))
        self.run("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=40s")

    def shell(self, name: str, *argv: str, stdin: str | None = None) -> str:
        words = ("exec", "--stdin", name, "--", *argv) if stdin else ("exec", name, "--", *argv)
        return self.run(*words, stdin=stdin)

    def uuid(self, name: str) -> str:
        """Return the UUID of the only GPU that a pod sees."""
        argv = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")
        [uuid] = self.shell(name, *argv).split()
        return uuid

    def run(self, *argv: str, stdin: str | None = None) -> str:
        return self.lab.kubectl().run(f"--namespace={NAMESPACE}", *argv, stdin=stdin)


@pytest.fixture
def pods(lab: Lab) -> Iterator[Pods]:
    """Room for pods that is gone afterwards, their GPUs free again."""
    lab.kubectl().run("create", "namespace", NAMESPACE)
    yield Pods(lab=lab)
    lab.kubectl().run("delete", "namespace", NAMESPACE, "--wait")


@pytest.fixture
def node(lab: Lab) -> str:
    """A node with a GPU that nobody holds, so that a pod of ours starts there."""
    held = lab.kubectl().items("pods", "--all-namespaces")
    busy = [pod["spec"].get("nodeName") for pod in held if "nvidia.com/gpu" in str(pod["spec"])]
    return min((each["metadata"]["name"] for each in nodes(lab)), key=busy.count)


def nodes(lab: Lab) -> list[dict[str, Any]]:
    return [each for each in lab.kubectl().items("nodes") if condition(each, "Ready")]


def offered(lab: Lab, name: str) -> int:
    [found] = lab.kubectl().items("node", name)
    return readiness.gpus(found).get("nvidia.com/gpu", 0)


def scrape(lab: Lab, node: str) -> Metrics:
    """Return what the exporter on a node tells."""
    found = lab.kubectl().items("pods", "--namespace=kube-system", "-lapp=nvidia-dcgm-exporter")
    [ip] = [pod["status"]["podIP"] for pod in found if pod["spec"]["nodeName"] == node]
    return parse(lab.rack.run(node, ["curl", "--silent", "--fail", f"http://{ip}:9400/metrics"]))


@contextmanager
def xid(lab: Lab, node: str, uuid: str, code: int) -> Iterator[None]:
    path = f"/var/lib/hotfire/gpu-health/{uuid}"
    lab.rack.run(node, ["sh", "-c", f"echo {code} > {path}"])
    try:
        yield
    finally:
        lab.rack.run(node, ["rm", path])


@contextmanager
def shared(lab: Lab, node: str, words: str) -> Iterator[None]:
    """Give a node other settings, as whoever runs it would."""
    former = lab.rack.run(node, ["cat", CONFIG])
    settings = json.dumps(GpuSharing.parse(words).plugin_config())
    lab.rack.run(node, ["tee", CONFIG], stdin=settings)
    try:
        yield
    finally:
        lab.rack.run(node, ["tee", CONFIG], stdin=former)
        until(lambda: offered(lab, node) == 2, within_seconds=20, what="whole GPUs again")


def test_pod_opens_its_own_gpu_and_no_other_even_by_number(lab: Lab, pods: Pods, node: str) -> None:
    pods.start("one", IDLE, node=node)

    seen = set(pods.shell("one", "python3", "-", stdin=OPEN_ALL).splitlines())

    assert {line for line in seen if line.startswith("GPU-")} == {pods.uuid("one")}
    assert "Operation not permitted" in seen
    assert lab.rack.run(node, ["nvidia-smi", "-L"]).count("UUID: GPU-") == 2


def test_pod_without_a_gpu_opens_none(pods: Pods, node: str) -> None:
    pods.start("none", IDLE, node=node, gpus=0)

    seen = pods.shell("none", "python3", "-", stdin=OPEN_ALL).splitlines()

    assert set(seen) == {"Operation not permitted"}
    assert pods.shell("none", "sh", "-c", "nvidia-smi -L || true") == "No devices were found\n"


def test_xid_takes_one_gpu_out_of_allocatable_until_it_is_healed(lab: Lab, node: str) -> None:
    uuid = lab.rack.run(node, ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]).split()[
        1
    ]

    with xid(lab, node, uuid, 79):
        until(lambda: offered(lab, node) == 1, within_seconds=10, what="one GPU less")
        until(
            lambda: scrape(lab, node).total("DCGM_FI_DEV_XID_ERRORS", UUID=uuid) == 79,
            within_seconds=5,
            what="the Xid in the metrics",
        )
    until(lambda: offered(lab, node) == 2, within_seconds=10, what="both GPUs again")

    assert scrape(lab, node).total("DCGM_FI_DEV_XID_ERRORS") == 0


def test_utilisation_follows_the_pod_that_holds_the_gpu(lab: Lab, pods: Pods, node: str) -> None:
    pods.start("busy", BUSY, node=node)
    uuid = pods.uuid("busy")
    mine = {"UUID": uuid, "pod": "busy", "namespace": NAMESPACE, "container": "probe"}

    def utilisation() -> float:
        return scrape(lab, node).total("DCGM_FI_DEV_GPU_UTIL", **mine) or 0.0

    until(lambda: utilisation() > 70, within_seconds=15, what="the GPU busy")
    unheld = [
        sample.value
        for sample in scrape(lab, node).series("DCGM_FI_DEV_GPU_UTIL")
        if "pod" not in sample.labels
    ]
    pods.run("delete", "pod", "busy")
    until(
        lambda: scrape(lab, node).total("DCGM_FI_DEV_GPU_UTIL", UUID=uuid) == 0,
        within_seconds=15,
        what="the GPU idle",
    )

    assert set(unheld) <= {0.0}


def test_pod_reads_its_own_load_from_nvidia_smi(pods: Pods, node: str) -> None:
    pods.start("busy", BUSY, node=node)
    query = "nvidia-smi --query-gpu=utilization.gpu,memory.used --format=csv,noheader,nounits"

    def reading() -> list[int]:
        return [int(cell) for cell in pods.shell("busy", *query.split()).split(",")]

    until(lambda: reading()[0] > 70, within_seconds=15, what="a busy GPU in the pod's eyes")
    assert 0 < reading()[1] < 64


def test_time_slices_are_offered_and_shared_while_a_node_is_set_so(
    lab: Lab, pods: Pods, node: str
) -> None:
    with shared(lab, node, "time-slicing=4"):
        until(lambda: offered(lab, node) == 8, within_seconds=20, what="eight slices")
        for number in range(3):
            pods.start(f"slice-{number}", IDLE, node=node)
        seen = [pods.uuid(f"slice-{number}") for number in range(3)]
        pods.run("delete", "pods", "--all")

    assert len(set(seen)) == 2
