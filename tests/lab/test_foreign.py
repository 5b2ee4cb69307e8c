"""The lab as a stranger finds it: Gateways and LoadBalancers of his own, images of his own."""

import io
import itertools
import json
import tarfile
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hotfire.lab.cluster.kube import Kubectl, condition
from hotfire.lab.lab import Lab
from hotfire.lab.network import netns
from hotfire.lab.shape.topology import API_ADDRESS, BALANCED_NETWORK
from hotfire.waiting import until
from tests.lab.test_lab import hotfire
from tests.saved_image import save

pytestmark = pytest.mark.lab

SPACE = "stranger"
IMAGE = "stranger.example/hello:1"
# One web server with two ways in: a Service of its own, and a Gateway of the lab's class.
MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: stranger}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: stranger, labels: {app: web}}
spec:
  tolerations: [{operator: Exists}]
  terminationGracePeriodSeconds: 0
  containers:
    - name: web
      image: docker.io/library/python:3.11-slim
      command: [python3, -S, -m, http.server, "8080", --directory, /etc/alternatives]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: stranger}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: own, namespace: stranger}
spec:
  gatewayClassName: envoy
  listeners: [{name: http, protocol: HTTP, port: 8000}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own, namespace: stranger}
spec:
  parentRefs: [{name: own}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: hello, namespace: stranger}
spec:
  runtimeClassName: own-files
  restartPolicy: Never
  tolerations: [{operator: Exists}]
  containers: [{name: hello, image: "stranger.example/hello:1"}]
"""


@pytest.fixture(scope="module")
def kubectl(lab: Lab) -> Iterator[Kubectl]:
    kubectl = lab.kubectl()
    kubectl.apply_text(MANIFESTS)
    yield kubectl
    kubectl.run("delete", "namespace", SPACE, within_seconds=120)


def one(kubectl: Kubectl, kind: str, name: str, space: str = SPACE) -> dict[str, Any]:
    [found] = kubectl.items(kind, name, f"--namespace={space}")
    return found


def answers(lab: Lab, url: str) -> bool:
    """Return whether a client outside the cluster gets the page."""
    with netns.inside(lab.topology().client.network_namespace):
        try:
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False


def carriers(lab: Lab, address: str) -> set[str]:
    """Return the machines to which r1 sends an address."""
    words = lab.rack.run("r1", ["ip", "route", "show", address]).split()
    return {after for word, after in itertools.pairwise(words) if word == "dev"}


def balanced(kubectl: Kubectl) -> str | None:
    rows = one(kubectl, "service", "web")["status"]["loadBalancer"].get("ingress")
    return str(rows[0]["ip"]) if rows else None


def test_service_gets_an_address_that_the_nodes_announce_while_somebody_serves_it(
    lab: Lab, kubectl: Kubectl
) -> None:
    until(lambda: balanced(kubectl), within_seconds=30, what="an address of the Service")
    address = balanced(kubectl) or ""
    until(lambda: answers(lab, f"http://{address}/"), within_seconds=60, what="the page")
    assert IPv4Address(address) in BALANCED_NETWORK
    everybody = {"n1", "n2", "n3"}
    until(lambda: carriers(lab, address) == everybody, within_seconds=20, what="three carriers")

    kubectl.run("patch", "service", "web", f"--namespace={SPACE}", "--patch", LOCAL)
    node = one(kubectl, "pod", "web")["spec"]["nodeName"]

    until(lambda: carriers(lab, address) == {node}, within_seconds=20, what="one carrier")
    assert answers(lab, f"http://{address}/")


LOCAL = json.dumps({"spec": {"externalTrafficPolicy": "Local"}})


def test_strangers_gateway_gets_an_address_of_its_own(lab: Lab, kubectl: Kubectl) -> None:
    until(
        lambda: condition(one(kubectl, "gateway", "own"), "Programmed"),
        within_seconds=90,
        what="the stranger's Gateway Programmed",
    )

    [address] = [row["value"] for row in one(kubectl, "gateway", "own")["status"]["addresses"]]

    assert IPv4Address(address) in BALANCED_NETWORK
    assert address != balanced(kubectl)
    until(lambda: answers(lab, f"http://{address}:8000/"), within_seconds=60, what="the page")


def test_address_of_a_service_that_is_gone_is_withdrawn(lab: Lab, kubectl: Kubectl) -> None:
    document = next(each for each in yaml.safe_load_all(MANIFESTS) if each["kind"] == "Service")
    document["metadata"]["name"] = "passing"
    kubectl.apply_text(json.dumps(document))
    address = str(BALANCED_NETWORK[3])
    until(lambda: carriers(lab, address), within_seconds=30, what="the third address announced")

    kubectl.run("delete", "service", "passing", f"--namespace={SPACE}")

    until(lambda: not carriers(lab, address), within_seconds=30, what="it withdrawn")


def test_kubernetes_service_has_its_endpoints_in_both_kinds(lab: Lab) -> None:
    kubectl = lab.kubectl()
    [slice_] = kubectl.items(
        "endpointslices", "--namespace=default", "--selector=kubernetes.io/service-name=kubernetes"
    )

    [subset] = one(kubectl, "endpoints", "kubernetes", "default")["subsets"]

    assert subset["addresses"] == [{"ip": API_ADDRESS}]
    assert slice_["endpoints"][0]["addresses"] == [API_ADDRESS]
    assert subset["ports"] == slice_["ports"]


def docker_archive(path: Path) -> Path:
    """Write an image with one static program outside /usr."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add("/usr/bin/busybox", "app/busybox")
    return save(path, IMAGE, layer.getvalue(), Entrypoint=["/app/busybox", "ls", "/"])


def test_image_of_docker_save_runs_with_its_own_files(
    lab: Lab, kubectl: Kubectl, tmp_path: Path
) -> None:
    done = hotfire("lab", "load-image", str(docker_archive(tmp_path / "hello.tar")))
    assert done.returncode == 0, done.stderr
    assert f"{IMAGE} is on every worker" in done.stdout

    kubectl.apply_text(POD)
    phase = until(
        lambda: {"Succeeded", "Failed"} & {one(kubectl, "pod", "hello")["status"].get("phase")},
        within_seconds=60,
        what="the image's program ended",
    )

    assert phase == {"Succeeded"}
    seen = kubectl.run("logs", "hello", f"--namespace={SPACE}").split()
    assert "app" in seen
    assert "usr" not in seen


def test_archive_without_a_name_is_one_line(lab: Lab, tmp_path: Path) -> None:
    path = docker_archive(tmp_path / "hello.tar")
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"[]"))

    done = hotfire("lab", "load-image", str(path))

    assert done.returncode == 254
    assert len(done.stderr.strip().splitlines()) == 1
