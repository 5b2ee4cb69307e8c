"""Pods that hold GPUs of the lab, and what its nodes and exporters tell of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hotfire.lab.cluster import readiness
from hotfire.lab.lab import Lab
from hotfire.metrics import Metrics, parse
from tests.namespaces import await_account

GPU = "nvidia.com/gpu"
NAMESPACE = "gpu-tests"
# Opens every block device of the GPUs' kind by its number, and prints what their first sectors say.
_OPEN_ALL = """
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

    def start(
        self,
        name: str,
        argv: list[str],
        *,
        node: str,
        resource: str | None = GPU,
        claim: str | None = None,
    ) -> None:
        """Start a pod with one of a resource, or what a claim asks for; wait until it is ready."""
        limits = {"memory": "64Mi", "cpu": "300m"} | ({resource: "1"} if resource else {})
        container: dict[str, Any] = {
            "name": "probe",
            "image": "docker.io/library/python:3.11-slim",
            "command": argv,
            "resources": {"limits": limits, "requests": {"cpu": "10m"}},
        }
        spec: dict[str, Any] = {
            "containers": [container],
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
        }
        if claim:
            container["resources"]["claims"] = [{"name": "gpu"}]
            spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": claim}]
        self.create("v1", "Pod", name, spec)
        ready = ("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=90s")
        self.run(*ready, within_seconds=100)

    def create(self, version: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        document = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.run("create", "--filename=-", stdin=json.dumps(document))

    def shell(self, name: str, *argv: str, stdin: str | None = None) -> str:
        words = ("exec", "--stdin", name, "--", *argv) if stdin else ("exec", name, "--", *argv)
        return self.run(*words, stdin=stdin)

    def opened(self, name: str) -> list[str]:
        """Return what a pod finds in every GPU device it makes itself, or why it may not look."""
        return self.shell(name, "python3", "-", stdin=_OPEN_ALL).splitlines()

    def uuid(self, name: str) -> str:
        """Return the UUID of the only GPU that a pod sees."""
        argv = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")
        [uuid] = self.shell(name, *argv).split()
        return uuid

    def run(self, *argv: str, stdin: str | None = None, within_seconds: float = 60) -> str:
        kubectl, place = self.lab.kubectl(), f"--namespace={NAMESPACE}"
        return kubectl.run(place, *argv, stdin=stdin, within_seconds=within_seconds)


def offered(lab: Lab, name: str) -> dict[str, int]:
    """Return what a node offers of its GPUs, by resource."""
    [found] = lab.kubectl().items("node", name)
    return readiness.gpus(found)


def scrape(lab: Lab, node: str) -> Metrics:
    """Return what the exporter on a node tells."""
    found = lab.kubectl().items("pods", "--namespace=kube-system", "-lapp=nvidia-dcgm-exporter")
    [ip] = [pod["status"]["podIP"] for pod in found if pod["spec"]["nodeName"] == node]
    return parse(lab.rack.run(node, ["curl", "--silent", "--fail", f"http://{ip}:9400/metrics"]))


@contextmanager
def pods_of(lab: Lab) -> Iterator[Pods]:
    """Give room for pods; they are gone afterwards, and their GPUs free again."""
    lab.kubectl().run("create", "namespace", NAMESPACE)
    try:
        await_account(lab.kubectl(), NAMESPACE)
        yield Pods(lab=lab)
    finally:
        lab.kubectl().run("delete", "namespace", NAMESPACE, "--wait")


@contextmanager
def xid(lab: Lab, node: str, uuid: str, code: int) -> Iterator[None]:
    """Mark a GPU unhealthy."""
    path = f"/var/lib/hotfire/gpu-health/{uuid}"
    lab.rack.run(node, ["sh", "-c", f"echo {code} > {path}"])
    try:
        yield
    finally:
        lab.rack.run(node, ["rm", path])
