"""Groups of pods start together or not at all, and devices are found by what they can do."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hotfire.cluster.gangs import NATIVE
from hotfire.lab.cluster.kube import Kubectl, condition
from hotfire.lab.lab import Lab
from hotfire.waiting import until
from tests.namespaces import await_account

pytestmark = pytest.mark.lab

NAMESPACE = "scheduling"
GPU = "nvidia.com/gpu"
DRIVER = "accelerators.example.com"
WITHIN_SECONDS = 90


@pytest.fixture
def kubectl(lab: Lab) -> Iterator[Kubectl]:
    """kubectl, and a namespace of its own for each test."""
    found = lab.kubectl()
    found.run("create", "namespace", NAMESPACE)
    await_account(found, NAMESPACE)
    yield found
    found.run("delete", "namespace", NAMESPACE, within_seconds=90)


def _create(kubectl: Kubectl, *documents: dict[str, Any]) -> None:
    rows = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    kubectl.run("create", f"--namespace={NAMESPACE}", "--filename=-", stdin=json.dumps(rows))


def _pod(name: str, resources: dict[str, Any], **spec: object) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "docker.io/library/python:3.11-slim",
        "command": ["sleep", "3600"],
        "resources": resources,
    }
    needed = {
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": needed | spec}


def _gang(kubectl: Kubectl, size: int, name: str) -> list[dict[str, Any]]:
    served = kubectl.run("api-versions").split()
    group = {
        "apiVersion": next(one for one in NATIVE if one in served),
        "kind": "PodGroup",
        "metadata": {"name": name},
        "spec": {"schedulingPolicy": {"gang": {"minCount": size}}},
    }
    member = {"schedulingGroup": {"podGroupName": name}}
    return [group, *(_pod(f"gang-{i}", _one_gpu(), **member) for i in range(size))]


def _one_gpu() -> dict[str, Any]:
    return {"limits": {GPU: "1"}}


def _free_gpus(kubectl: Kubectl) -> int:
    """Return how many GPUs no pod has; other tests' pods may have some, and keep them."""
    until(lambda: not _leaving(kubectl), within_seconds=WITHIN_SECONDS, what="pods that go gone")
    taken = (
        _gpus(pod)
        for pod in kubectl.items("pods", "--all-namespaces")
        if pod["spec"].get("nodeName") and pod["status"]["phase"] not in {"Succeeded", "Failed"}
    )
    offered = (node["status"]["allocatable"] for node in kubectl.items("nodes"))
    return sum(int(each.get(GPU, "0")) for each in offered) - sum(taken)


def _gpus(pod: dict[str, Any]) -> int:
    limits = (each.get("resources", {}).get("limits", {}) for each in pod["spec"]["containers"])
    return sum(int(each.get(GPU, "0")) for each in limits)


def _leaving(kubectl: Kubectl) -> list[str]:
    """Return the pods that still have a GPU and are being deleted."""
    pods = kubectl.items("pods", "--all-namespaces")
    names = [pod["metadata"] for pod in pods if _gpus(pod)]
    return [each["name"] for each in names if "deletionTimestamp" in each]


def _bound(kubectl: Kubectl) -> set[str]:
    pods = kubectl.items("pods", f"--namespace={NAMESPACE}")
    return {pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName")}


def _refused(kubectl: Kubectl) -> set[str]:
    """Return the pods for which the scheduler says that there is no place."""
    pods = kubectl.items("pods", f"--namespace={NAMESPACE}")
    rows = ((pod["metadata"]["name"], row) for pod in pods for row in _conditions(pod))
    return {name for name, row in rows if (row["type"], row["status"]) == ("PodScheduled", "False")}


def _conditions(item: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = item["status"].get("conditions", [])
    return rows


def test_gang_that_fits_runs_whole(kubectl: Kubectl) -> None:
    size = _free_gpus(kubectl)
    assert size >= 2
    _create(kubectl, *_gang(kubectl, size, "whole"))

    def running() -> int:
        pods = kubectl.items("pods", f"--namespace={NAMESPACE}")
        return sum(condition(pod, "Ready") for pod in pods)

    until(lambda: running() == size, within_seconds=WITHIN_SECONDS, what=f"{size} pods running")


def test_gang_short_of_one_gpu_binds_no_pod_until_the_gpu_is_free(kubectl: Kubectl) -> None:
    size = _free_gpus(kubectl)
    assert size >= 2
    gang = {f"gang-{i}" for i in range(size)}
    _create(kubectl, _pod("blocker", _one_gpu()))
    until(lambda: _bound(kubectl) == {"blocker"}, within_seconds=WITHIN_SECONDS, what="blocker")
    _create(kubectl, *_gang(kubectl, size, "short"))

    until(
        lambda: _refused(kubectl) == gang,
        within_seconds=WITHIN_SECONDS,
        what=f"all of {sorted(gang)} refused",
    )
    assert _bound(kubectl) == {"blocker"}
    kubectl.run("delete", "pod", "blocker", f"--namespace={NAMESPACE}")

    until(lambda: _bound(kubectl) == gang, within_seconds=WITHIN_SECONDS, what="gang bound")


@pytest.fixture
def accelerators(kubectl: Kubectl) -> Iterator[None]:
    """A class of devices, and two of them that a driver on n2 offers."""
    _create(kubectl, _device_class(), _slice({"small": "40Gi", "large": "80Gi"}))
    yield
    kubectl.run("delete", "resourceslice,deviceclass", DRIVER)


def _device_class() -> dict[str, Any]:
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": DRIVER},
        "spec": {"selectors": [selector]},
    }


def _slice(memory: dict[str, str]) -> dict[str, Any]:
    devices = [
        {"name": name, "capacity": {"memory": {"value": size}}} for name, size in memory.items()
    ]
    pool = {"name": "n2", "generation": 1, "resourceSliceCount": 1}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": DRIVER},
        "spec": {"driver": DRIVER, "nodeName": "n2", "pool": pool, "devices": devices},
    }


def _claim(name: str, at_least: str) -> list[dict[str, Any]]:
    """Return a claim for one device with that much memory, and a pod that uses it."""
    compared = f'device.capacity["{DRIVER}"].memory.compareTo(quantity("{at_least}")) >= 0'
    exactly = {"deviceClassName": DRIVER, "selectors": [{"cel": {"expression": compared}}]}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name},
        "spec": {"devices": {"requests": [{"name": "device", "exactly": exactly}]}},
    }
    uses = [{"name": "it", "resourceClaimName": name}]
    return [claim, _pod(name, {"claims": [{"name": "it"}]}, resourceClaims=uses)]


def _allocated(kubectl: Kubectl, name: str) -> list[str]:
    (claim,) = kubectl.items("resourceclaim", name, f"--namespace={NAMESPACE}")
    allocation = claim.get("status", {}).get("allocation", {})
    return [row["device"] for row in allocation.get("devices", {}).get("results", [])]


@pytest.mark.usefixtures("accelerators")
def test_claim_gets_the_device_that_is_large_enough(kubectl: Kubectl) -> None:
    _create(kubectl, *_claim("hungry", "60Gi"), *_claim("starved", "100Gi"))

    until(lambda: _allocated(kubectl, "hungry"), within_seconds=WITHIN_SECONDS, what="allocation")

    assert _allocated(kubectl, "hungry") == ["large"]
    until(lambda: _bound(kubectl) == {"hungry"}, within_seconds=WITHIN_SECONDS, what="pod bound")
    until(lambda: _refused(kubectl) == {"starved"}, within_seconds=WITHIN_SECONDS, what="refusal")
    assert _allocated(kubectl, "starved") == []
